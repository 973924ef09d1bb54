//! What a worker keeps until it is worth the walk to the queue.

use std::cell::RefCell;
use std::sync::Arc;

use super::{Span, Spans};

/// As many spans go to the queue at once.
const SOME: usize = 64;

/// The spans of one worker that have ended.
#[derive(Debug)]
pub(crate) struct Outbox {
    ended: RefCell<Vec<Span>>,
    spans: Arc<Spans>,
}

impl Outbox {
    pub(crate) fn new(spans: &Arc<Spans>) -> Self {
        Self { ended: RefCell::default(), spans: Arc::clone(spans) }
    }

    /// Takes a span that has ended.
    pub(crate) fn put(&self, span: Span) {
        let mut ended = self.ended.borrow_mut();
        ended.push(span);
        if ended.len() >= SOME {
            self.spans.add(&mut ended);
        }
    }

    /// Sends on what there is.
    pub(crate) fn empty(&self) {
        let mut ended = self.ended.borrow_mut();
        if !ended.is_empty() {
            self.spans.add(&mut ended);
        }
    }
}

impl Drop for Outbox {
    /// What ended when its connection was closed for it.
    fn drop(&mut self) {
        self.empty();
    }
}
