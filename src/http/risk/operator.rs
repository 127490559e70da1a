//! What an operator sends, and who it is.

use std::fmt::Write as _;

use actix_web::{HttpRequest, HttpResponse, web};

use crate::domain::fault::FieldFault;
use crate::domain::risk::operator;
use crate::http::answer::Answer;
use crate::http::body::{Body, Form};
use crate::http::problem::Problem;
use crate::http::query::Params;
use crate::http::state::State;
use crate::storage::audit_log::{KEPT, Recent};

/// The header with the operator's name.
const ACTOR: &str = "x-actor";
/// Longest body, in bytes.
const MAX_BODY: usize = 16 << 10;
/// Lines of a history unless somebody says how many.
const LINES: usize = 100;

/// Who sends `request`: the name in `X-Actor`, else the address it comes from.
///
/// # Errors
/// The name is none.
fn actor(request: &HttpRequest) -> Result<String, Problem> {
    let mut given = request.headers().get_all(ACTOR);
    let name = match (given.next(), given.next()) {
        (None, _) => return Ok(request.peer_addr().map_or_else(|| "unknown".to_owned(), |peer| peer.ip().to_string())),
        (Some(name), None) => operator::name(name.to_str().unwrap_or_default()),
        (Some(_), Some(_)) => Err("must be given once"),
    };
    name.map_err(|expected| Problem::Malformed(format!("the header X-Actor {expected}")))
}

/// Who sends `request`, and the JSON that comes with it.
///
/// # Errors
/// The name is none, or the JSON is too long, too slow, no JSON by its type, or no text.
pub async fn receive(request: &HttpRequest, payload: web::Payload, state: &State) -> Result<(String, String), Problem> {
    let actor = actor(request).map_err(|problem| problem.unread(request))?;
    match Form::of(request) {
        Ok(Form::Json) => {}
        Ok(Form::Ndjson) => return Err(Problem::UnsupportedMedia("send application/json".into()).unread(request)),
        Err(problem) => return Err(problem.unread(request)),
    }
    let body = Body::new(request, payload, MAX_BODY as u64, state.config.http.body_timeout);
    let body = body.map_err(|problem| problem.unread(request))?;
    let body = body.whole(MAX_BODY, &state.body_memory).await.map_err(|problem| problem.interrupting(None))?;
    let text = std::str::from_utf8(&body.bytes).map_err(|_| Problem::Malformed("the body is not UTF-8".into()))?;
    Ok((actor, text.trim_start_matches('\u{feff}').to_owned()))
}

/// The answer to a body with `faults`.
pub fn refused(faults: Vec<FieldFault>) -> Problem {
    match faults.as_slice() {
        [fault] if fault.field.is_empty() => Problem::Malformed(format!("the body {}", fault.message)),
        _ => Problem::faults(faults),
    }
}

/// The newest lines of a history, newest last; `?limit=`.
///
/// # Errors
/// The query has faults, or clients that do not read their answers hold all memory for them.
pub fn history(request: &HttpRequest, recent: &Recent, state: &State) -> Result<HttpResponse, Problem> {
    let mut params = Params::of(request)?;
    let limit = params.number("limit", 1..=KEPT).unwrap_or(LINES);
    params.finish()?;
    let body = {
        let recent = recent.read();
        let count = recent.lines.len().min(limit);
        let mut body = String::from(r#"{"history":["#);
        for (index, line) in recent.lines.iter().skip(recent.lines.len() - count).enumerate() {
            // a String takes every write
            let _ = write!(body, "{}{}", if index == 0 { "" } else { "," }, line.get());
        }
        let _ = write!(body, r#"],"count":{count},"broken_lines":{}}}"#, recent.broken);
        body
    };
    let answer = Answer::new(body.len(), &state.answer_memory, |out| out.extend_from_slice(body.as_bytes()))?;
    Ok(HttpResponse::Ok().content_type("application/json").body(answer))
}
