//! Histograms as Prometheus reads them: how many observations lie below each bound.

/// One histogram, or the sum of several with the same bounds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Bounds, and how many observations are not above each, in order.
    buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// All series of `name` in a text of metrics that have these labels, together.
    pub fn read(text: &str, name: &str, labels: &[(&str, &str)]) -> Self {
        let mut histogram = Self::default();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix("_bucket{"))
            else {
                continue;
            };
            let Some((own, value)) = rest.rsplit_once("} ") else { continue };
            let label = |wanted: &str| {
                let mut all = own.split("\",").filter_map(|label| label.split_once("=\""));
                all.find_map(|(key, value)| (key == wanted).then(|| value.trim_end_matches('"')))
            };
            if labels.iter().any(|(key, value)| label(key) != Some(*value)) {
                continue;
            }
            let bound = label("le").and_then(|bound| bound.parse().ok());
            // OpenMetrics may put a time or an exemplar behind the value.
            let count = value.split(' ').next().and_then(|count| count.parse().ok());
            if let (Some(bound), Some(count)) = (bound, count) {
                histogram.add(bound, count);
            }
        }
        histogram
    }

    /// This one with the observations of another.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        for (bound, count) in &other.buckets {
            self.add(*bound, *count);
        }
        self
    }

    /// What was observed since it was `before`.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        for (bound, count) in &mut self.buckets {
            let earlier = before.buckets.iter().find(|(other, _)| other.total_cmp(bound).is_eq());
            *count -= earlier.map_or(0, |(_, earlier)| *earlier);
        }
        self
    }

    /// How many observations there are.
    pub fn count(&self) -> u64 {
        self.buckets.last().map_or(0, |(_, count)| *count)
    }

    /// The share of all that is not above `bound`, which has to be one of the bounds.
    #[expect(clippy::cast_precision_loss, reason = "a share of some thousands")]
    pub fn share_within(&self, bound: f64) -> f64 {
        let within = self.buckets.iter().find(|(own, _)| own.total_cmp(&bound).is_eq());
        within.map_or(f64::NAN, |(_, within)| *within as f64 / self.count() as f64)
    }

    /// The least bound that `share` of all observations are not above.
    #[expect(clippy::cast_precision_loss, reason = "a share of some thousands")]
    pub fn bound_of(&self, share: f64) -> f64 {
        let wanted = self.count() as f64 * share;
        let found = self.buckets.iter().find(|(_, count)| *count as f64 >= wanted);
        found.map_or(f64::NAN, |(bound, _)| *bound)
    }

    fn add(&mut self, bound: f64, count: u64) {
        match self.buckets.binary_search_by(|(own, _)| own.total_cmp(&bound)) {
            Ok(at) => self.buckets[at].1 += count,
            Err(at) => self.buckets.insert(at, (bound, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
# TYPE took_seconds histogram
took_seconds_bucket{name="a",operation="CREATE",le="0.005"} 97
took_seconds_bucket{name="a",operation="CREATE",le="0.025"} 99
took_seconds_bucket{name="a",operation="CREATE",le="+Inf"} 100
took_seconds_bucket{name="a",operation="UPDATE",le="0.005"} 1
took_seconds_bucket{name="a",operation="UPDATE",le="0.025"} 1
took_seconds_bucket{name="a",operation="UPDATE",le="+Inf"} 1
took_seconds_bucket{name="b",operation="CREATE",le="+Inf"} 7
took_seconds_sum{name="a",operation="CREATE"} 0.2
took_seconds_count{name="a",operation="CREATE"} 100
"#;

    #[test]
    fn series_are_chosen_and_summed() {
        let created =
            Histogram::read(TEXT, "took_seconds", &[("name", "a"), ("operation", "CREATE")]);
        assert_eq!(created.count(), 100);
        assert!((created.share_within(0.005) - 0.97).abs() < 1e-9);
        assert!(created.share_within(0.007).is_nan(), "no such bound");
        assert!((created.bound_of(0.98) - 0.025).abs() < 1e-9);
        assert!(created.bound_of(0.999).is_infinite());

        let all = Histogram::read(TEXT, "took_seconds", &[("name", "a")]);
        assert_eq!(all.count(), 101);
        let updated = all.since(&created);
        assert_eq!((updated.count(), updated.share_within(0.005).to_string()), (1, "1".into()));
        assert_eq!(created.clone().and(&created).count(), 200);
        assert_eq!(Histogram::read(TEXT, "took", &[]).count(), 0);
    }
}
