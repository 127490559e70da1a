//! `/api/risk/breaches`: what is breached now.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::risk::announce::BreachView;
use crate::domain::risk::breach::Breach;
use crate::http::answer::Answer;
use crate::http::openapi::errors;
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;

/// `GET /api/risk/breaches`, in the order of the limits, then by symbol. Not known (503) while the day is rebuilt.
///
/// # Errors
/// See [`Problem`].
#[utoipa::path(
    get,
    path = "/api/risk/breaches",
    operation_id = "list_breaches",
    tag = "risk",
    summary = "What is breached now",
    description = "A breach is `current > limit`. While the day is rebuilt after a start it is not known: 503.",
    responses(
        (status = 200, description = "The breaches, in the order of the limits, then by symbol", body = Vec<BreachView<'_>>),
        errors::Unavailable,
    )
)]
pub async fn list(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    Params::of(&request)?.finish()?;
    let breaches = state.risk.breaches().await?;
    let views: Vec<_> = breaches.iter().map(Breach::view).collect();
    let body = serde_json::to_vec(&views).map_err(|_| Problem::Internal)?;
    let answer = Answer::new(body.len(), &state.answer_memory, |out| out.extend_from_slice(&body))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}
