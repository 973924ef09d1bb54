//! One metric after the other, as Prometheus reads them.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::cells::Distribution;

/// Names and values, in the order in which they are to be read.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// One metric, which is being given its values.
pub(super) struct Family<'a>(MetricEncoder<'a>);

/// Writes metrics down.
pub(super) struct Writer<'a>(pub(super) DescriptorEncoder<'a>);

impl Writer<'_> {
    /// A count of what happened; the format adds `_total` to its name.
    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        fill: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        fill(&mut Family(self.0.encode_descriptor(name, help, None, MetricType::Counter)?))
    }

    /// How something is at the moment.
    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        fill: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        fill(&mut Family(self.0.encode_descriptor(name, help, None, MetricType::Gauge)?))
    }

    /// How long things took.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        fill: impl FnOnce(&mut Family<'_>) -> fmt::Result,
    ) -> fmt::Result {
        fill(&mut Family(self.0.encode_descriptor(name, help, None, MetricType::Histogram)?))
    }

    /// A count without labels.
    pub(super) fn one_counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counter(name, help, |family| family.count(&[], value))
    }

    /// A value without labels.
    pub(super) fn one_gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue + Copy,
    ) -> fmt::Result {
        self.gauge(name, help, |family| family.value(&[], value))
    }
}

impl Family<'_> {
    /// What a counter has come to.
    pub(super) fn count(&mut self, labels: Labels<'_>, count: u64) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_counter::<NoLabelSet, _, f64>(&count, None);
        }
        self.0.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)
    }

    /// What a counter of seconds has come to.
    pub(super) fn seconds(&mut self, seconds: f64) -> fmt::Result {
        self.0.encode_counter::<NoLabelSet, _, f64>(&seconds, None)
    }

    /// What a gauge shows.
    pub(super) fn value(
        &mut self,
        labels: Labels<'_>,
        value: impl EncodeGaugeValue + Copy,
    ) -> fmt::Result {
        if labels.is_empty() {
            return self.0.encode_gauge(&value);
        }
        self.0.encode_family(&labels)?.encode_gauge(&value)
    }

    /// What a histogram has come to.
    pub(super) fn durations(&mut self, labels: Labels<'_>, all: &Distribution) -> fmt::Result {
        let (sum, count) = (all.sum().as_secs_f64(), all.count());
        let mut family = self.0.encode_family(&labels)?;
        family.encode_histogram::<NoLabelSet>(sum, count, &all.buckets(), None)
    }
}
