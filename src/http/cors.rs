//! Pages of other origins: those that `http.cors_origins` names may use the API, others may change nothing and read nothing.
//!
//! A page of a foreign origin needs no permission to send a plain `POST`, only to read its answer. So what would change
//! something is refused by its `Origin`, which browsers send with every such request; other clients send none.

use actix_web::HttpResponse;
use actix_web::dev::RequestHead;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, header::HOST};

/// Whose page a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No page's.
    None,
    /// One of this service's own.
    Own,
    /// One that the configuration names; as it was sent.
    Allowed(HeaderValue),
    /// Any other.
    Foreign,
}

impl Origin {
    /// The origin of a request, when `allowed` may use the service.
    #[must_use]
    pub fn of(request: &RequestHead, allowed: &[String]) -> Self {
        let Some(origin) = request.headers().get(header::ORIGIN) else { return Self::None };
        let Ok(text) = origin.to_str() else { return Self::Foreign };
        if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(text)) {
            return Self::Allowed(origin.clone());
        }
        let named = request.uri.authority().map(|authority| authority.as_str());
        let host = named.or_else(|| request.headers().get(HOST)?.to_str().ok());
        // the scheme may be a proxy's
        let page = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host)) { Self::Own } else { Self::Foreign }
    }
}

/// What a page may do.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE");
/// What it may send beside what every page may.
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, cache-control, content-type, last-event-id, x-actor, x-requested-with");
/// What it may read beside what every page may.
const ANSWER_HEADERS: HeaderValue =
    HeaderValue::from_static("allow, complete-from, content-encoding, etag, location, retry-after");
/// How long a browser may remember the permission, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("3600");

/// Whether a browser asks what it may do.
#[must_use]
pub fn is_preflight(request: &RequestHead) -> bool {
    request.method == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to such a question of an allowed origin.
#[must_use]
pub fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, MAX_AGE))
        .insert_header((header::VARY, "Access-Control-Request-Method, Access-Control-Request-Headers"))
        .finish()
}

/// Lets the page that asked read the answer, if it may.
pub fn grant(origin: Origin, headers: &mut HeaderMap) {
    if origin == Origin::None {
        return;
    }
    // whoever keeps answers shall not give one page that of another
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Origin::Allowed(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn an_origin_is_none_own_allowed_or_foreign() {
        let allowed = ["http://localhost:3000".to_owned()];
        let of = |origin: &str| {
            let request = TestRequest::get().insert_header((HOST, "127.0.0.1:8765")).insert_header((header::ORIGIN, origin));
            Origin::of(request.to_srv_request().head(), &allowed)
        };
        let request = TestRequest::get().insert_header((HOST, "127.0.0.1:8765")).to_srv_request();
        assert_eq!(Origin::of(request.head(), &allowed), Origin::None);
        assert_eq!(of("http://127.0.0.1:8765"), Origin::Own);
        assert_eq!(of("https://127.0.0.1:8765"), Origin::Own);
        assert!(matches!(of("http://localhost:3000"), Origin::Allowed(_)));
        for foreign in
            ["null", "", "http://127.0.0.1:8766", "http://127.0.0.1", "http://localhost:30000", "file://127.0.0.1:8765"]
        {
            assert_eq!(of(foreign), Origin::Foreign, "{foreign}");
        }
    }
}
