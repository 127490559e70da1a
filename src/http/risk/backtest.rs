//! `GET /api/risk/var/backtest`: how the forecasts of VaR would have done.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::var::read;
use crate::domain::risk::backtest::{Test, Zone};
use crate::domain::risk::var::{Horizon, Question};
use crate::domain::risk::var_answer::{Asked, Computed};
use crate::http::openapi::errors;
use crate::http::openapi::params::VarParams;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// Days that are looked back on when nothing else is said.
const DEFAULT_DAYS: usize = 1_000;
/// Days that a forecast is made from when nothing else is said.
const DEFAULT_WINDOW: usize = 250;

/// How the forecasts would have done. What cannot be tested is null.
#[derive(Serialize, ToSchema)]
#[schema(as = VarBacktest)]
struct Body<'a> {
    /// Days that were forecast.
    forecasts: usize,
    /// Days that lost more than forecast.
    exceptions: usize,
    /// How many those should be.
    expected: f64,
    /// Which those were.
    exception_dates: Vec<String>,
    /// Kupiec's test of their number.
    kupiec: TestBody,
    christoffersen: ChristoffersenBody,
    traffic_light: TrafficLightBody,
    /// What to keep in mind.
    warnings: Vec<&'a str>,
}

/// A likelihood ratio test.
#[derive(Serialize, ToSchema)]
#[schema(as = LikelihoodRatioTest)]
struct TestBody {
    /// The statistic.
    #[schema(required)]
    lr: Option<f64>,
    /// Probability of a statistic as large or larger if the VaR is right.
    #[schema(required)]
    p_value: Option<f64>,
}

/// Christoffersen's two tests, and the pairs of days that they are made of: `n01` counts days without an exception that were
/// followed by one with, and so on.
#[derive(Serialize, ToSchema)]
#[schema(as = ChristoffersenTests)]
struct ChristoffersenBody {
    n00: u64,
    n01: u64,
    n10: u64,
    n11: u64,
    /// Whether exceptions follow one another by chance.
    independence: TestBody,
    /// This and their number together.
    conditional_coverage: TestBody,
}

/// The Basel traffic light.
#[derive(Serialize, ToSchema)]
#[schema(as = TrafficLight)]
struct TrafficLightBody {
    /// Where the exceptions fall.
    #[schema(required)]
    zone: Option<Zone>,
    /// Days that lost more than forecast.
    #[schema(required)]
    exceptions: Option<u64>,
    /// Days that were forecast.
    #[schema(required)]
    observations: Option<u64>,
    /// The probability of so many exceptions or fewer if the VaR is right.
    #[schema(required)]
    cumulative_probability: Option<f64>,
}

/// The route.
///
/// # Errors
/// Faults of the query, or too many questions.
#[utoipa::path(
    get,
    path = "/api/risk/var/backtest",
    operation_id = "backtest_var",
    tag = "risk",
    summary = "How the forecasts of VaR would have done",
    params(
        ("days" = Option<u32>, Query, minimum = 1, maximum = 10000, description = "Trading days to look back on; 1000 unless given"),
        ("window" = Option<u32>, Query, minimum = 2, maximum = 10000, description = "Days that each forecast is made from; 250 unless given"),
        VarParams,
    ),
    responses((status = 200, description = "The tests", body = Body<'_>), errors::Query, errors::Unavailable)
)]
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
    Ok(HttpResponse::Ok().json(Body {
        forecasts: done.forecasts,
        exceptions: done.exceptions,
        expected: done.expected,
        exception_dates: exceptions.iter().map(ToString::to_string).collect(),
        kupiec: test(done.kupiec.as_ref()),
        christoffersen: ChristoffersenBody {
            n00: pairs.n00,
            n01: pairs.n01,
            n10: pairs.n10,
            n11: pairs.n11,
            independence: test(pairs.independence.as_ref()),
            conditional_coverage: test(pairs.conditional_coverage.as_ref()),
        },
        traffic_light: TrafficLightBody {
            zone: light.map(|light| light.zone),
            exceptions: light.map(|light| light.exceptions),
            observations: light.map(|light| light.observations),
            cumulative_probability: light.map(|light| light.cumulative_probability),
        },
        warnings,
    }))
}

/// A test that cannot be made has no numbers.
fn test(test: Option<&Test>) -> TestBody {
    TestBody { lr: test.map(|test| test.lr), p_value: test.map(|test| test.p_value) }
}
