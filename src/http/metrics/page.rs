//! The page as it is put together: families of samples, in the model of the Prometheus crate.
//!
//! What is not known has no sample, and a family without samples is left out.

use std::borrow::Cow;
use std::collections::HashSet;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram as Observed, LabelPair, Metric, MetricFamily, MetricType};

use crate::domain::histogram::{Histogram, Reading};

/// Names and values of a sample's labels.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Microseconds of a second.
pub const MICROS: f64 = 1e6;

/// All families.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
}

/// One metric with its series.
#[derive(Debug)]
pub struct Family {
    name: Cow<'static, str>,
    help: Cow<'static, str>,
    kind: MetricType,
    metrics: Vec<Metric>,
}

impl Page {
    /// A counter; its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name.into(), help.into(), MetricType::COUNTER)
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name.into(), help.into(), MetricType::GAUGE)
    }

    /// A histogram.
    pub fn histogram(&mut self, name: &'static str, help: &'static str) -> &mut Family {
        self.family(name.into(), help.into(), MetricType::HISTOGRAM)
    }

    /// A metric of any kind, whose name has the form of its kind.
    pub fn family(&mut self, name: Cow<'static, str>, help: Cow<'static, str>, kind: MetricType) -> &mut Family {
        self.families.push(Family { name, help, kind, metrics: Vec::new() });
        let last = self.families.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "it was pushed just now")]
        &mut self.families[last]
    }

    /// The text of this page, sorted by name; of several families of one name the first wins.
    ///
    /// # Errors
    /// A family is none that has a text form.
    pub fn text(self) -> Result<String, prometheus::Error> {
        let mut names = HashSet::new();
        let first = self.families.into_iter().filter(|family| names.insert(family.name.clone()));
        // the encoder refuses families without series
        let with_series = first.filter(|family| !family.metrics.is_empty());
        let mut all: Vec<MetricFamily> = with_series.map(Family::into_proto).collect();
        all.sort_by(|one, other| one.name().cmp(other.name()));
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&all, &mut text)?;
        Ok(text)
    }
}

impl Family {
    /// A series of a counter or gauge.
    pub fn set(&mut self, labels: Labels<'_>, value: f64) -> &mut Self {
        let mut metric = Metric::from_label(pairs(labels));
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
        self
    }

    /// The same of a whole number; beyond 2^53 the last digits are lost.
    pub fn count(&mut self, labels: Labels<'_>, value: u64) -> &mut Self {
        self.set(labels, value as f64)
    }

    /// The same of a number of things.
    pub fn size(&mut self, labels: Labels<'_>, value: usize) -> &mut Self {
        self.set(labels, value as f64)
    }

    /// 1 or 0.
    pub fn flag(&mut self, labels: Labels<'_>, value: bool) -> &mut Self {
        self.set(labels, f64::from(u8::from(value)))
    }

    /// A series if its value is known.
    pub fn known(&mut self, labels: Labels<'_>, value: Option<f64>) -> &mut Self {
        if let Some(value) = value {
            self.set(labels, value);
        }
        self
    }

    /// A series of a histogram whose recorded numbers are `per_unit` to the unit that is shown.
    pub fn observed(&mut self, labels: Labels<'_>, histogram: &Histogram, per_unit: f64) -> &mut Self {
        let Reading { buckets, count, sum } = histogram.read();
        let buckets = buckets.into_iter().map(|(bound, up_to)| (bound as f64 / per_unit, up_to));
        self.distribution(labels, buckets, count, sum as f64 / per_unit)
    }

    /// A series of a histogram: how many were at most each bound, how many in all, and their sum.
    pub fn distribution(
        &mut self,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) -> &mut Self {
        let buckets = buckets.map(|(bound, up_to)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(up_to);
            bucket
        });
        let mut observed = Observed::default();
        observed.set_bucket(buckets.collect());
        observed.set_sample_count(count);
        observed.set_sample_sum(sum);
        let mut metric = Metric::from_label(pairs(labels));
        metric.set_histogram(observed);
        self.metrics.push(metric);
        self
    }

    fn into_proto(self) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.into_owned());
        family.set_help(self.help.into_owned());
        family.set_field_type(self.kind);
        family.set_metric(self.metrics);
        family
    }
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_sorted_escaped_and_without_what_is_not_known() {
        let mut page = Page::default();
        page.gauge("plimsoll_z", "Last.").set(&[("a", "x\"y\\z\nw")], 1.5);
        page.gauge("plimsoll_unknown", "Never shown.").known(&[], None);
        page.counter("plimsoll_b_total", "A count.").count(&[], 3).count(&[("a", "é")], 0);
        assert_eq!(
            page.text().expect("text"),
            "# HELP plimsoll_b_total A count.\n# TYPE plimsoll_b_total counter\nplimsoll_b_total 3\n\
             plimsoll_b_total{a=\"é\"} 0\n\
             # HELP plimsoll_z Last.\n# TYPE plimsoll_z gauge\nplimsoll_z{a=\"x\\\"y\\\\z\\nw\"} 1.5\n"
        );
    }

    #[test]
    fn a_histogram_is_shown_in_its_unit_with_all_above_its_bounds_under_infinity() {
        let histogram = Histogram::new(&[500, 10_000_000]);
        let recorder = histogram.recorder();
        [400, 500, 2_000_000, 20_000_000].into_iter().for_each(|micros| recorder.record(micros));
        let mut page = Page::default();
        page.histogram("plimsoll_wait_seconds", "A wait.").observed(&[("form", "one")], &histogram, MICROS);
        let text = page.text().expect("text");
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "plimsoll_wait_seconds_bucket{form=\"one\",le=\"0.0005\"} 2",
                "plimsoll_wait_seconds_bucket{form=\"one\",le=\"10\"} 3",
                "plimsoll_wait_seconds_bucket{form=\"one\",le=\"+Inf\"} 4",
                "plimsoll_wait_seconds_sum{form=\"one\"} 22.0009",
                "plimsoll_wait_seconds_count{form=\"one\"} 4",
            ]
        );
    }

    #[test]
    fn what_others_post_never_takes_the_place_of_ours() {
        let mut page = Page::default();
        page.gauge("plimsoll_ready", "Ours.").flag(&[], true);
        page.gauge("plimsoll_unknown", "Ours, of which nothing is known.").known(&[], None);
        for name in ["plimsoll_ready", "plimsoll_unknown", "live_trading_x"] {
            page.family(name.into(), "Posted.".into(), MetricType::GAUGE).set(&[], 7.0);
        }
        let text = page.text().expect("text");
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(samples, ["live_trading_x 7", "plimsoll_ready 1"]);
    }
}
