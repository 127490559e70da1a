//! `GET /api/risk/var`: value at risk and expected shortfall from the daily P&L files.

use actix_web::{HttpRequest, HttpResponse, web};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::actors::var_calculator::VarError;
use crate::domain::risk::daily_series::Window;
use crate::domain::risk::var::{Confidence, Estimate, Horizon, Method, Quantile, Question};
use crate::domain::risk::var_answer::{Answer, Asked, Computed};
use crate::http::openapi::errors;
use crate::http::openapi::params::VarParams;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// When to ask again while too many do, in seconds.
const BUSY_RETRY: u32 = 1;

/// The answer; money in the account's currency, losses positive.
#[derive(Serialize, ToSchema)]
#[schema(as = VarAnswer, example = json!({
    "var": 4210.5, "es": 5120.25, "var_pct": 4.2105, "observations": 30, "days": 30, "confidence": 0.95, "method": "historical",
    "quantile": "order", "percentile": -4210.5, "worst_loss": 6030.0, "best_gain": 7210.0, "from": "2025-10-06",
    "to": "2025-11-18", "interval": {"level": 0.95, "lower": 3120.0, "upper": 6030.0}, "warnings": []
}))]
struct Body<'a> {
    /// The loss that is not exceeded with the confidence; null with a `reason` when there is nothing to compute from.
    #[schema(required)]
    var: Option<f64>,
    /// Expected shortfall: the mean of the losses beyond it.
    #[schema(required)]
    es: Option<f64>,
    /// The VaR in percent of the starting capital; null when that is not known.
    #[schema(required)]
    var_pct: Option<f64>,
    /// Days with a P&L.
    observations: usize,
    /// Trading days that were looked at.
    days: usize,
    /// The confidence, as it was asked for.
    #[schema(value_type = f64)]
    confidence: Box<RawValue>,
    #[schema(value_type = Method)]
    method: &'a str,
    /// Null where the method has no choice of it.
    #[schema(required, value_type = Option<Quantile>)]
    quantile: Option<&'a str>,
    /// The P&L at the tail's percentile, losses negative.
    #[schema(required)]
    percentile: Option<f64>,
    /// The largest loss of a day.
    #[schema(required)]
    worst_loss: Option<f64>,
    /// The largest gain of a day.
    #[schema(required)]
    best_gain: Option<f64>,
    /// The day of the first observation.
    #[schema(required, format = Date)]
    from: Option<String>,
    /// The day of the last one.
    #[schema(required, format = Date)]
    to: Option<String>,
    interval: Interval,
    /// What to keep in mind.
    warnings: Vec<&'a str>,
    /// Why there is no VaR.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'a str>,
}

/// A confidence interval of the VaR; a bound that does not exist is null.
#[derive(Serialize, ToSchema)]
#[schema(as = VarInterval)]
struct Interval {
    /// Its own confidence.
    level: f64,
    #[schema(required)]
    lower: Option<f64>,
    #[schema(required)]
    upper: Option<f64>,
}

/// What is common to VaR and its backtest.
pub(super) struct Common {
    pub(super) days: usize,
    pub(super) window: Window,
    pub(super) confidence: Confidence,
    pub(super) method: Method,
    pub(super) quantile: Quantile,
    /// Whether somebody chose a quantile where the method has no choice of it.
    is_idle_quantile: bool,
}

/// The route.
///
/// # Errors
/// Faults of the query, or too many questions.
#[utoipa::path(
    get,
    path = "/api/risk/var",
    operation_id = "get_var",
    tag = "risk",
    summary = "Value at risk and expected shortfall",
    description = "From the daily P&L files of the trading days that end with `as_of`. Losses are positive.",
    params(
        ("days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Trading days to look at; 30 unless given"),
        VarParams,
        ("horizon_days" = Option<u32>, Query, minimum = 1, maximum = 365, description = "Days ahead; 1 unless given"),
        ("drift" = Option<bool>, Query, description = "Whether the mean grows with the horizon"),
    ),
    responses((status = 200, description = "The VaR, or why there is none", body = Body<'_>), errors::Query, errors::Unavailable)
)]
pub async fn var(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let common = read(&mut params, &state, 1..=365, 30);
    let days = params.number("horizon_days", 1..=365).unwrap_or(1);
    let drift = params.flag("drift");
    params.finish()?;
    let common = common.ok_or(Problem::Internal)?;
    let Common { window, confidence, method, quantile, .. } = common;
    let horizon = Horizon { days: u32::try_from(days).unwrap_or(1), drift };
    let question = Question { confidence, method, quantile, horizon };
    let answer = state.var.ask(Asked { days: window, question, backtest: None }).await?;
    let Computed::Var(estimate) = &answer.computed else { return Err(Problem::Internal) };
    let stated = if answer.starting_capital.is_none() { state.risk.starting_capital().await } else { None };
    Ok(HttpResponse::Ok().json(body(stated, &common, &answer, estimate)?))
}

/// Reads the parameters that VaR and its backtest share; `None` if one of them has a fault.
pub(super) fn read(
    params: &mut Params,
    state: &State,
    range: std::ops::RangeInclusive<usize>,
    default_days: usize,
) -> Option<Common> {
    let days = params.number("days", range).unwrap_or(default_days);
    let confidence = Confidence::parse(params.text("confidence").unwrap_or("0.95"));
    if let Err(expected) = confidence {
        params.fault("confidence", expected);
    }
    let methods = format!("must be one of {}", Method::ALL.map(Method::as_str).join(", "));
    let method = params.parsed("method", &methods).unwrap_or(Method::Historical);
    let quantiles = format!("must be one of {}", Quantile::ALL.map(Quantile::as_str).join(", "));
    let chosen = params.parsed("quantile", &quantiles);
    let as_of = params.date("as_of").unwrap_or_else(|| state.session.date_of(state.clock.now()));
    Some(Common {
        days,
        window: Window::ending(as_of, u32::try_from(days).unwrap_or(u32::MAX)),
        confidence: confidence.ok()?,
        method,
        quantile: chosen.unwrap_or(Quantile::Order),
        is_idle_quantile: chosen.is_some() && !has_quantile(method),
    })
}

/// Whether the method takes its VaR from an order statistic.
fn has_quantile(method: Method) -> bool {
    matches!(method, Method::Historical | Method::FilteredHistorical)
}

impl Common {
    /// What there is to say about the question itself.
    pub(super) fn warning(&self) -> Option<&'static str> {
        self.is_idle_quantile.then_some("the method has no choice of a quantile, so quantile changes nothing")
    }
}

fn body<'a>(stated: Option<Decimal>, common: &Common, answer: &'a Answer, estimate: &'a Estimate) -> Result<Body<'a>, Problem> {
    let Common { days, confidence, method, quantile, .. } = common;
    let capital = answer.starting_capital.or(stated);
    let capital = capital.and_then(|capital| capital.to_f64()).filter(|capital| *capital > 0.0);
    let reason = estimate.reason.as_deref();
    let no_capital = "no starting capital is known, so there is no var_pct; set risk.starting_capital";
    let no_capital = (estimate.var.is_some() && capital.is_none()).then_some(no_capital);
    let warnings = answer.warnings.iter().chain(&estimate.warnings).map(String::as_str).chain(common.warning()).chain(no_capital);
    Ok(Body {
        var: estimate.var,
        es: estimate.es,
        var_pct: estimate.var.zip(capital).map(|(var, capital)| var / capital * 100.0),
        observations: answer.observations,
        days: *days,
        confidence: RawValue::from_string(confidence.to_string()).map_err(|_| Problem::Internal)?,
        method: method.as_str(),
        quantile: has_quantile(*method).then(|| quantile.as_str()),
        percentile: estimate.percentile,
        worst_loss: estimate.worst_loss,
        best_gain: estimate.best_gain,
        from: answer.span.map(|(first, _)| first.to_string()),
        to: answer.span.map(|(_, last)| last.to_string()),
        interval: Interval { level: estimate.interval.level, lower: estimate.interval.lower, upper: estimate.interval.upper },
        warnings: reason.into_iter().chain(warnings).collect(),
        reason,
    })
}

impl From<VarError> for Problem {
    fn from(error: VarError) -> Self {
        match error {
            VarError::Busy => {
                let detail = "too many questions about VaR are waiting; try again".to_owned();
                Self::Unavailable { detail, retry_after: BUSY_RETRY }
            }
            VarError::Lost => Self::Internal,
        }
    }
}
