//! Spans: what there is to tell of a request that is traced, from its head to the end of its
//! response, and the way to whoever collects them.
//!
//! ```text
//! traffic::trace → Span → Outbox (of a worker) → Queue → export → zipkin | otlp → delivery
//! ```
//!
//! A worker keeps what has ended until it has some, or a second has gone by, so that a request
//! takes no lock and wakes nobody. Everything from the queue on is another thread's. What finds the
//! queue full is dropped and counted: nobody waits for a collector.

mod delivery;
mod export;
mod otlp;
mod outbox;
mod queue;
mod span;
mod zipkin;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};

pub(crate) use self::export::export;
pub(crate) use self::outbox::Outbox;
use self::queue::Queue;
pub(crate) use self::span::{End, Ended, Held, Request, Span};
use crate::listener::Side;
use crate::settings::{Settings, Tracing};

/// What workers and the exporter share.
#[derive(Debug, Default)]
pub(crate) struct Spans {
    /// The first thing that a request asks; the rest only where this says so.
    consumer: AtomicBool,
    provider: AtomicBool,
    terms: ArcSwapOption<Tracing>,
    queue: Queue,
    counts: Counts,
}

/// What became of spans.
#[derive(Debug, Default)]
struct Counts {
    /// The collector has them.
    exported: AtomicU64,
    /// There was no room for them.
    dropped: AtomicU64,
    /// The collector did not take them, or was not there for too long.
    failed: AtomicU64,
}

impl Spans {
    pub(crate) fn new(settings: &Settings) -> Self {
        let spans = Self::default();
        spans.reconfigure(settings);
        spans
    }

    /// Takes over what other settings say: from the next request, and the next call, on.
    pub(crate) fn reconfigure(&self, settings: &Settings) {
        let terms = settings.tracing.clone();
        let on = |side: fn(&Tracing) -> bool| terms.as_ref().is_some_and(side);
        let (consumer, provider) = (on(|terms| terms.consumer), on(|terms| terms.provider));
        if let Some(terms) = &terms {
            self.queue.resize(terms.export.batch_size, terms.export.queue);
        }
        self.terms.store(terms.map(Arc::new));
        self.consumer.store(consumer, Ordering::Relaxed);
        self.provider.store(provider, Ordering::Relaxed);
    }

    /// Whether requests of this side are traced.
    pub(crate) fn trace(&self, side: Side) -> bool {
        match side {
            Side::Consumer => self.consumer.load(Ordering::Relaxed),
            Side::Provider => self.provider.load(Ordering::Relaxed),
        }
    }

    /// How; `None`: not any more.
    pub(crate) fn terms(&self) -> Guard<Option<Arc<Tracing>>> {
        self.terms.load()
    }

    /// No more spans come: the exporter ends when it has delivered what there is.
    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// What became of spans, in a word each.
    pub(crate) fn counted(&self) -> [(&'static str, u64); 3] {
        let Counts { exported, dropped, failed } = &self.counts;
        let counts = [("exported", exported), ("dropped", dropped), ("failed", failed)];
        counts.map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }

    fn add(&self, spans: &mut Vec<Span>) {
        let dropped = self.queue.add(spans);
        count(&self.counts.dropped, dropped);
    }
}

fn count(counter: &AtomicU64, spans: usize) {
    counter.fetch_add(spans as u64, Ordering::Relaxed);
}
