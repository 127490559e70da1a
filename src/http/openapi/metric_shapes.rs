//! The shapes of what engines post to the metrics; what is read is [`Write`](crate::domain::metrics::write::Write).

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// One metric, or a batch of them.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum NewMetrics {
    /// One.
    One(NewMetric),
    /// Many.
    Many(NewMetricBatch),
}

/// A batch of metrics.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMetricBatch {
    /// The metrics, at most 10,000.
    #[schema(min_items = 1)]
    pub metrics: Vec<NewMetric>,
}

/// A change of one series of a metric. A metric keeps the kind of its first post.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum NewMetric {
    /// A counter rises.
    Counter(NewCounter),
    /// A gauge is set or moves.
    Gauge(NewGauge),
    /// A histogram observes.
    Histogram(NewObservation),
}

/// A counter rises by `value`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"name": "orders", "kind": "counter", "value": 1, "labels": {"side": "BUY"}, "help": "Orders sent"}))]
#[serde(deny_unknown_fields)]
pub struct NewCounter {
    /// Which metric.
    pub name: NewMetricName,
    /// `counter`.
    #[schema(pattern = "^counter$")]
    pub kind: String,
    /// By how much it rises.
    #[schema(minimum = 0)]
    pub value: f64,
    /// What tells the series from the metric's others.
    pub labels: Option<NewMetricLabels>,
    /// What the metric means; its first text holds.
    pub help: Option<NewMetricHelp>,
    /// A counter has none.
    #[schema(max_items = 0)]
    pub buckets: Option<Vec<f64>>,
}

/// A gauge is set to `value`, or moves by it.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"name": "margin_used", "kind": "gauge", "value": 1250.5}))]
#[serde(deny_unknown_fields)]
pub struct NewGauge {
    /// Which metric.
    pub name: NewMetricName,
    /// `gauge`.
    #[schema(pattern = "^gauge$")]
    pub kind: String,
    /// What it is, or by how much it moves.
    pub value: f64,
    /// `set`, which it is unless given, `inc` or `dec`.
    #[schema(pattern = "^(set|inc|dec)$")]
    pub op: Option<String>,
    /// What tells the series from the metric's others.
    pub labels: Option<NewMetricLabels>,
    /// What the metric means; its first text holds.
    pub help: Option<NewMetricHelp>,
    /// A gauge has none.
    #[schema(max_items = 0)]
    pub buckets: Option<Vec<f64>>,
}

/// A histogram observes `value`.
#[derive(Debug, ToSchema)]
#[schema(example = json!({"name": "fill_seconds", "kind": "histogram", "value": 0.21, "buckets": [0.1, 0.5, 1]}))]
#[serde(deny_unknown_fields)]
pub struct NewObservation {
    /// Which metric.
    pub name: NewMetricName,
    /// `histogram`.
    #[schema(pattern = "^histogram$")]
    pub kind: String,
    /// What is observed.
    pub value: f64,
    /// What tells the series from the metric's others.
    pub labels: Option<NewMetricLabels>,
    /// What the metric means; its first text holds.
    pub help: Option<NewMetricHelp>,
    /// Upper bounds of its buckets, for its first post: 0.005 to 10 unless given. Later posts leave them out or repeat them.
    #[schema(max_items = 64)]
    pub buckets: Option<Vec<f64>>,
}

/// The name of a metric, with or without the prefix; more than an ending that Prometheus reserves.
#[derive(Debug, ToSchema)]
#[schema(pattern = "^(?!plimsoll_|_?(count|sum|bucket|total)$)[A-Za-z_][A-Za-z0-9_]{0,127}$")]
pub struct NewMetricName(
    /// Its text.
    pub String,
);

/// What a metric means.
#[derive(Debug, ToSchema)]
#[schema(max_length = 512, pattern = r"^[^\x00]*$", example = "Time from order to fill")]
pub struct NewMetricHelp(
    /// Its text.
    pub String,
);

/// The labels of a series: names and texts. An empty text is as good as no label.
#[derive(Debug)]
pub struct NewMetricLabels;

impl PartialSchema for NewMetricLabels {
    fn schema() -> RefOr<Schema> {
        let name =
            ObjectBuilder::new().schema_type(Type::String).pattern(Some("^(?!__|(le|quantile)$)[A-Za-z_][A-Za-z0-9_]{0,63}$"));
        let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(256)).pattern(Some(r"^[^\x00]*$"));
        let labels = ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("What tells a series from the metric's others. An empty text is as good as no label."))
            .property_names(Some(name.build()))
            .additional_properties(Some(RefOr::T(Schema::from(text.build()))))
            .max_properties(Some(16));
        labels.into()
    }
}

impl ToSchema for NewMetricLabels {
    fn name() -> Cow<'static, str> {
        "NewMetricLabels".into()
    }
}
