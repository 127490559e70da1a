//! `/api/risk/status`: the limits, the figures, and whether new positions may be opened.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::http::answer::Answer;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// `GET /api/risk/status`.
///
/// # Errors
/// See [`Problem`].
pub async fn status(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    Params::of(&request)?.finish()?;
    let status = state.risk.status(state.kill_switch.current().position.clone()).await?;
    let body = serde_json::to_vec(&status).map_err(|_| Problem::Internal)?;
    let answer = Answer::new(body.len(), &state.answer_memory, |out| out.extend_from_slice(&body))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}
