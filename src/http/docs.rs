//! `/openapi.json`, `/docs` (Swagger UI) and `/redoc`: the API described by itself, from this binary alone.
//!
//! The bundles are those of `assets/docs`, compressed there once; `assets/docs/refresh` fetches them anew. The policy of the
//! pages lets them load nothing from anywhere else.

use std::io::Read as _;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::read::GzDecoder;

use super::answer::Answer;
use super::compression::Coding;
use super::openapi::{Document, errors};
use super::problem::Problem;
use super::state::State;

/// What a page may load: scripts, styles and pictures of this service, and styles that its scripts make.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The name of a file has its version in it, or the file is small and asked for each time.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("no-cache");

/// A file that pages load.
struct Asset {
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
    /// Whether `bytes` are gzipped; its name then has its version in it.
    is_packed: bool,
}

const ASSETS: &[Asset] = &[
    packed("swagger-ui-5.35.0.js", "text/javascript", include_bytes!("../../assets/docs/swagger-ui-5.35.0.js.gz")),
    packed("swagger-ui-5.35.0.css", "text/css", include_bytes!("../../assets/docs/swagger-ui-5.35.0.css.gz")),
    packed("redoc-2.5.4.js", "text/javascript", include_bytes!("../../assets/docs/redoc-2.5.4.js.gz")),
    plain("swagger-start.js", "text/javascript", include_bytes!("../../assets/docs/swagger-start.js")),
    plain("redoc-start.js", "text/javascript", include_bytes!("../../assets/docs/redoc-start.js")),
    plain("redoc.css", "text/css", include_bytes!("../../assets/docs/redoc.css")),
    plain("plimsoll.css", "text/css", include_bytes!("../../assets/docs/plimsoll.css")),
    plain("plimsoll.svg", "image/svg+xml", include_bytes!("../../assets/docs/plimsoll.svg")),
];

const fn packed(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { name, kind, bytes, is_packed: true }
}

const fn plain(name: &'static str, kind: &'static str, bytes: &'static [u8]) -> Asset {
    Asset { name, kind, bytes, is_packed: false }
}

/// Most bytes of a bundle that is unpacked for a client that takes no gzip.
const LARGEST: u64 = 8 << 20;

/// `GET /openapi.json`.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "get_openapi",
    tag = "service",
    summary = "This document",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the version that you have")),
    responses(
        (status = 200, description = "The OpenAPI 3.1 document", body = Object, headers(("ETag" = String, description = "Names this version"))),
        (status = 304, description = "You have it"),
    )
)]
pub async fn document(request: HttpRequest, document: web::Data<Document>) -> HttpResponse {
    if has_it(&request, &document.etag) {
        return not_modified(&document.etag, ASK_AGAIN);
    }
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((header::ETAG, document.etag.as_str()))
        .insert_header((header::CACHE_CONTROL, ASK_AGAIN))
        .body(document.json.clone())
}

/// `GET /docs`.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "show_swagger_ui",
    tag = "service",
    summary = "This document in Swagger UI",
    responses((status = 200, description = "A page that loads nothing from elsewhere", body = String, content_type = "text/html"))
)]
pub async fn swagger() -> HttpResponse {
    page(include_str!("../../assets/docs/swagger.html"))
}

/// `GET /redoc`.
#[utoipa::path(
    get,
    path = "/redoc",
    operation_id = "show_redoc",
    tag = "service",
    summary = "This document in ReDoc",
    responses((status = 200, description = "A page that loads nothing from elsewhere", body = String, content_type = "text/html"))
)]
pub async fn redoc() -> HttpResponse {
    page(include_str!("../../assets/docs/redoc.html"))
}

fn page(html: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CACHE_CONTROL, ASK_AGAIN))
        .body(html)
}

/// `GET /docs/assets/{file}`: what the pages load.
///
/// # Errors
/// There is no such file, or no memory to unpack it.
#[utoipa::path(
    get,
    path = "/docs/assets/{file}",
    operation_id = "get_page_asset",
    tag = "service",
    summary = "What the pages load",
    params(
        ("file" = String, Path, description = "The file's name", example = "plimsoll.svg"),
        ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the version that you have"),
    ),
    responses(
        (status = 200, description = "The file", headers(("ETag" = String, description = "Names this version")), content(
            (String = "text/javascript"), (String = "text/css"), (String = "image/svg+xml"),
        )),
        (status = 304, description = "You have it"),
        errors::Missing,
        errors::Unavailable,
    )
)]
pub async fn asset(request: HttpRequest, file: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == file.as_str()) else {
        return Err(Problem::NotFound);
    };
    let lifetime = if asset.is_packed { FOR_EVER } else { ASK_AGAIN };
    let etag = etag(asset);
    if has_it(&request, &etag) {
        return Ok(not_modified(&etag, lifetime));
    }
    let mut answer = HttpResponse::Ok();
    answer
        .content_type(if asset.kind.starts_with("text/") { format!("{}; charset=utf-8", asset.kind) } else { asset.kind.into() })
        .insert_header((header::ETAG, etag))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, lifetime));
    if !asset.is_packed {
        return Ok(answer.body(Bytes::from_static(asset.bytes)));
    }
    if Coding::takes_gzip(request.headers()) {
        answer.insert_header((header::VARY, "Accept-Encoding")).insert_header((header::CONTENT_ENCODING, "gzip"));
        return Ok(answer.body(Bytes::from_static(asset.bytes)));
    }
    let unpacked = Answer::new(unpacked_size(asset), &state.answer_memory, |out| {
        // a test unpacks each of them
        let _ = GzDecoder::new(asset.bytes).take(LARGEST).read_to_end(out);
    })?;
    Ok(answer.body(unpacked))
}

/// A gzipped file ends with its length.
fn unpacked_size(asset: &Asset) -> usize {
    asset.bytes.last_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize)
}

/// Weak, since an asset has the same tag in every coding.
fn etag(asset: &Asset) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(asset.bytes);
    format!("W/\"{:08x}-{:x}\"", crc.sum(), asset.bytes.len())
}

fn has_it(request: &HttpRequest, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let known = request.headers().get_all(header::IF_NONE_MATCH).filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == opaque(etag))
}

fn not_modified(etag: &str, lifetime: HeaderValue) -> HttpResponse {
    HttpResponse::NotModified()
        .insert_header((header::ETAG, etag))
        .insert_header((header::CACHE_CONTROL, lifetime))
        .insert_header((header::VARY, "Accept-Encoding"))
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundle_unpacks_to_the_length_that_it_says() {
        for asset in ASSETS.iter().filter(|asset| asset.is_packed) {
            let mut out = Vec::new();
            GzDecoder::new(asset.bytes).take(LARGEST).read_to_end(&mut out).expect("it unpacks");
            assert_eq!(out.len(), unpacked_size(asset), "{}", asset.name);
        }
    }

    #[test]
    fn the_pages_load_what_is_there_and_nothing_from_elsewhere() {
        let pages = [include_str!("../../assets/docs/swagger.html"), include_str!("../../assets/docs/redoc.html")];
        for page in pages {
            let links = page.split(['"']).filter(|text| text.contains('/') && !text.contains('<'));
            let names: Vec<&str> = links.map(|link| link.strip_prefix("/docs/assets/").expect("of this service")).collect();
            assert!(names.len() >= 4, "{names:?}");
            for name in names {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            }
        }
    }
}
