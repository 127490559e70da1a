//! `GET /api/risk/var/backtest`: how the forecasts of VaR would have done.

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use super::var::read;
use crate::domain::risk::backtest::Test;
use crate::domain::risk::var::{Horizon, Question};
use crate::domain::risk::var_answer::{Asked, Computed};
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Days that are looked back on when nothing else is said.
const DEFAULT_DAYS: usize = 1_000;
/// Days that a forecast is made from when nothing else is said.
const DEFAULT_WINDOW: usize = 250;

/// The route.
///
/// # Errors
/// Faults of the query, or too many questions.
pub async fn backtest(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(&request)?;
    let common = read(&mut params, &state, 1..=10_000, DEFAULT_DAYS);
    let window = params.number("window", 2..=10_000).unwrap_or(DEFAULT_WINDOW);
    params.finish()?;
    let common = common.ok_or(Problem::Internal)?;
    let horizon = Horizon { days: 1, drift: false };
    let question = Question { confidence: common.confidence, method: common.method, quantile: common.quantile, horizon };
    let answer = state.var.ask(Asked { days: common.window, question, backtest: Some(window) }).await?;
    let Computed::Backtest(done, exceptions) = &answer.computed else { return Err(Problem::Internal) };
    let own = answer.warnings.iter().chain(&done.warnings).map(String::as_str);
    let warnings: Vec<&str> = own.chain(common.warning()).collect();
    let (pairs, light) = (&done.christoffersen, done.traffic_light.as_ref());
    Ok(HttpResponse::Ok().json(json!({
        "forecasts": done.forecasts,
        "exceptions": done.exceptions,
        "expected": done.expected,
        "exception_dates": exceptions.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "kupiec": test(done.kupiec.as_ref()),
        "christoffersen": {
            "n00": pairs.n00,
            "n01": pairs.n01,
            "n10": pairs.n10,
            "n11": pairs.n11,
            "independence": test(pairs.independence.as_ref()),
            "conditional_coverage": test(pairs.conditional_coverage.as_ref()),
        },
        "traffic_light": {
            "zone": light.map(|light| light.zone),
            "exceptions": light.map(|light| light.exceptions),
            "observations": light.map(|light| light.observations),
            "cumulative_probability": light.map(|light| light.cumulative_probability),
        },
        "warnings": warnings,
    })))
}

/// A test that cannot be made has no numbers.
fn test(test: Option<&Test>) -> Value {
    json!({ "lr": test.map(|test| test.lr), "p_value": test.map(|test| test.p_value) })
}
