//! From the queue to the collector, batch by batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::delivery::{Delivery, Failure};
use super::{Span, Spans, count, otlp, zipkin};
use crate::settings::{SpanProtocol, Tracing};
use crate::tls::Tls;

/// How often a batch is offered before it is given up.
const ATTEMPTS: u32 = 8;
/// Before the second offer; longer before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Delivers spans until there are no more. Whatever is wrong with the collector, nobody but this
/// task waits for it.
pub(crate) async fn export(spans: Arc<Spans>, tls: Arc<Tls>) {
    let mut exporter = Exporter { spans, tls, delivery: Delivery::default(), faulty: false };
    while let Some(batch) = exporter.next().await {
        exporter.deliver(&batch).await;
    }
}

struct Exporter {
    spans: Arc<Spans>,
    tls: Arc<Tls>,
    delivery: Delivery,
    /// The last call failed, and the log says so.
    faulty: bool,
}

impl Exporter {
    async fn next(&self) -> Option<Vec<Span>> {
        let interval = || {
            let terms = self.spans.terms();
            terms.as_ref().map_or(Duration::ZERO, |terms| terms.export.batch_interval)
        };
        self.spans.queue.next(interval).await
    }

    async fn deliver(&mut self, batch: &[Span]) {
        let mut encoded: Option<(Arc<Tracing>, Bytes)> = None;
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            // They may have changed while this was waiting.
            let Some(terms) = self.spans.terms().clone() else {
                return count(&self.spans.counts.dropped, batch.len());
            };
            let body = match encoded.take() {
                Some((for_terms, body)) if Arc::ptr_eq(&for_terms, &terms) => body,
                _ => encode(batch, &terms),
            };
            encoded = Some((Arc::clone(&terms), body.clone()));
            let failure = match self.call(&terms, body).await {
                Ok(rejected) => return self.delivered(batch.len(), rejected, &terms),
                Err(failure) => failure,
            };
            let last = attempt == ATTEMPTS || self.spans.queue.is_closed();
            let (reason, later) = match failure {
                Failure::Passing(reason, later) if !last => (reason, later),
                Failure::Passing(reason, _) | Failure::Lasting(reason) => {
                    self.complain(&reason, &terms);
                    return count(&self.spans.counts.failed, batch.len());
                }
            };
            self.complain(&reason, &terms);
            let pause = later.unwrap_or(wait).min(LONGEST_WAIT).mul_f64(0.5 + fastrand::f64());
            wait = (wait * 2).min(LONGEST_WAIT);
            tokio::select! {
                () = sleep(pause) => {}
                // There is one more attempt, and no more time.
                () = self.spans.queue.closed() => {}
            }
        }
    }

    /// Returns how many spans the collector does not want.
    async fn call(&mut self, terms: &Tracing, body: Bytes) -> Result<usize, Failure> {
        let export = &terms.export;
        let called = timeout(export.timeout, self.delivery.call(export, &self.tls, body)).await;
        let late = |_| Failure::Passing(format!("no answer within {:?}", export.timeout), None);
        let answer = called.map_err(late)??;
        Ok(match export.protocol {
            SpanProtocol::Zipkin => 0,
            // Of a gRPC message, what comes behind its frame.
            SpanProtocol::OtlpGrpc => {
                otlp::rejected(answer.get(5..).unwrap_or_default(), export.protocol)
            }
            protocol => otlp::rejected(&answer, protocol),
        })
    }

    fn delivered(&mut self, spans: usize, rejected: usize, terms: &Tracing) {
        let rejected = rejected.min(spans);
        count(&self.spans.counts.exported, spans - rejected);
        count(&self.spans.counts.failed, rejected);
        if rejected > 0 {
            tracing::warn!(rejected, collector = %terms.export.endpoint, "spans were not wanted");
        }
        if std::mem::take(&mut self.faulty) {
            let [_, (_, dropped), (_, failed)] = self.spans.counted();
            let collector = &terms.export.endpoint;
            tracing::info!(%collector, dropped, failed, "spans are delivered again");
        }
    }

    /// Once for each time that it goes wrong, not for each call.
    fn complain(&mut self, reason: &str, terms: &Tracing) {
        if !std::mem::replace(&mut self.faulty, true) {
            let collector = &terms.export.endpoint;
            tracing::warn!(%collector, reason, "spans can't be delivered");
        }
    }
}

fn encode(batch: &[Span], terms: &Tracing) -> Bytes {
    match terms.export.protocol {
        SpanProtocol::Zipkin => zipkin::encode(batch, terms).into(),
        SpanProtocol::OtlpProtobuf | SpanProtocol::OtlpJson | SpanProtocol::OtlpGrpc => {
            otlp::encode(batch, terms).into()
        }
    }
}
