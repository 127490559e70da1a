//! What is done to every exchange before its route and after it: foreign hosts and origins are kept out, origins of the
//! configuration are let in, and large answers are compressed. One middleware, so that a small post costs no more for it.

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::{Error, web};

use super::cors::Origin;
use super::problem::Problem;
use super::state::State;
use super::{compression, cors, host_check};

/// The middleware.
///
/// # Errors
/// The host is foreign, or a page of a foreign origin wants to change something.
pub async fn pass(
    state: web::Data<State>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if !host_check::is_own_request(&request, &state.config.http.allowed_hosts) {
        return Err(Problem::ForeignHost.unread(request.request()).into());
    }
    let origin = Origin::of(request.head(), &state.config.http.cors_origins);
    if cors::is_preflight(request.head()) && matches!(origin, Origin::Allowed(_)) {
        let mut answer = request.into_response(cors::preflight());
        cors::grant(origin, answer.headers_mut());
        return Ok(answer);
    }
    if origin == Origin::Foreign && !request.method().is_safe() {
        return Err(Problem::ForeignOrigin.unread(request.request()).into());
    }
    let mut answer = compression::compress(next.call(request).await?, &state.answer_memory).await;
    cors::grant(origin, answer.headers_mut());
    Ok(answer)
}
