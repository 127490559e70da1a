//! `/api/risk/breaches`: what is breached now.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::risk::breach::Breach;
use crate::http::answer::Answer;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// `GET /api/risk/breaches`, in the order of the limits, then by symbol. Not known (503) while the day is rebuilt.
///
/// # Errors
/// See [`Problem`].
pub async fn list(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    Params::of(&request)?.finish()?;
    let breaches = state.risk.breaches().await?;
    let views: Vec<_> = breaches.iter().map(Breach::view).collect();
    let body = serde_json::to_vec(&views).map_err(|_| Problem::Internal)?;
    let answer = Answer::new(body.len(), &state.answer_memory, |out| out.extend_from_slice(&body))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}
