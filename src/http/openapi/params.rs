//! Parameters that several routes take, described; they are read by [`Params`](crate::http::query::Params).

use utoipa::{IntoParams, ToSchema};

use crate::domain::event::Severity;
use crate::domain::risk::var::{Method, Quantile};

/// The choice of events; at most 64 different values of each.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct FilterParams {
    /// Wanted types; repeat it, or separate them by commas; at most 64. Upper case is folded.
    #[param(inline, required = false, example = json!(["order_event"]))]
    pub event_type: Vec<TypeWord>,
    /// Wanted symbols; repeat it, at most 64.
    #[param(inline, required = false)]
    pub symbol: Vec<NameWord>,
    /// Wanted strategies; repeat it, at most 64.
    #[param(inline, required = false)]
    pub strategy: Vec<NameWord>,
    /// Wanted sources; repeat it, at most 64.
    #[param(inline, required = false)]
    pub source: Vec<NameWord>,
    /// Wanted account.
    #[param(required = false)]
    pub profile_id: i64,
    /// At least this severe; an event without a severity counts as `info`.
    #[param(inline, required = false)]
    pub severity: Severity,
}

/// The type of an event.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9_.-]+$", example = "order_event")]
pub struct TypeWord(
    /// Its text.
    pub String,
);

/// A name, at most 512 bytes.
#[derive(Debug, ToSchema)]
#[schema(min_length = 1, max_length = 512, example = "NIFTY")]
pub struct NameWord(
    /// Its text.
    pub String,
);

/// The id of an event, `<unix milliseconds>-<sequence>`: strictly increasing in the order of arrival.
#[derive(Debug, ToSchema)]
#[schema(pattern = "^([0-9]{1,12}|[1-7][0-9]{12})(-[0-9]{1,6})?$", example = "1763452541345-0")]
pub struct IdWord(
    /// Its text.
    pub String,
);

/// The span of time, by the events' own `timestamp`.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SpanParams {
    /// Not before this time.
    #[param(required = false, format = DateTime, example = "2025-11-18T07:55:41Z")]
    pub since_ts: String,
    /// Before this time.
    #[param(required = false, format = DateTime, example = "2025-11-18T08:55:41Z")]
    pub until_ts: String,
}

/// What VaR and its backtest share.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct VarParams {
    /// 0.5 to 0.99; 0.95 unless given.
    #[param(required = false, minimum = 0.5, maximum = 0.99, example = 0.95)]
    pub confidence: f64,
    /// How it is computed; `historical` unless given.
    #[param(inline, required = false)]
    pub method: Method,
    /// Which order statistic the historical methods take; `order` unless given.
    #[param(inline, required = false)]
    pub quantile: Quantile,
    /// The last trading day that counts, `YYYY-MM-DD`; today unless given.
    #[param(required = false, format = Date, example = "2025-11-18")]
    pub as_of: String,
}

/// An order of events.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum OrderWord {
    /// Oldest first.
    Asc,
    /// Newest first.
    Desc,
}

/// By what events are counted.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum GroupWord {
    /// Their type.
    Type,
    /// Their symbol.
    Symbol,
    /// Their strategy.
    Strategy,
    /// Their source.
    Source,
}

/// The form of a heartbeat.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum HeartbeatWord {
    /// A comment, which clients do not see.
    Comment,
    /// An event of type `heartbeat`.
    Event,
}

/// The level of a log's record.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum LevelWord {
    /// Every step.
    Trace,
    /// For whoever looks closely.
    Debug,
    /// As it should be.
    Info,
    /// Somebody should look.
    Warning,
    /// Something failed.
    Error,
    /// Somebody must act.
    Critical,
}
