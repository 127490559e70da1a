//! `/api/risk/status`: the limits, the figures, and whether new positions may be opened.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::risk::status::Status;
use crate::http::answer::Answer;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// `GET /api/risk/status`.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    get,
    path = "/api/risk/status",
    operation_id = "get_risk_status",
    tag = "risk",
    summary = "Every limit with its figure, and whether new positions may be opened",
    description = "They may only while trading is active, nothing is breached, and every figure is known and fresh.",
    responses((status = 200, description = "The status of the trading day", body = Status), errors::Unavailable)
)]
pub async fn status(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    Params::of(&request)?.finish()?;
    let status = state.risk.status(state.kill_switch.current().position.clone()).await?;
    let body = serde_json::to_vec(&status).map_err(|_| Problem::Internal)?;
    let answer = Answer::new(body.len(), &state.answer_memory, |out| out.extend_from_slice(&body))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}
