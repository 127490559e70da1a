//! Large answers in fewer bytes, by the coding that the client likes best.
//!
//! Only what has a size and is text is compressed, piece by piece on the worker's thread, so that its other clients go on in
//! between; a stream has no size and is never touched. What is compressed counts against the memory for answers.

use std::io::{self, Write};
use std::pin::Pin;

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::ServiceResponse;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use bytes::Bytes;
use flate2::write::GzEncoder;
use futures_util::future::poll_fn;

use super::answer::Answer;
use super::preference::Preferences;
use super::problem::Problem;
use crate::actors::admission::Admission;

/// A smaller answer is one packet anyway.
const LEAST: u64 = 1_024;
/// What compressing itself takes at most, in KiB.
const WORK: usize = 8 << 10;
/// So many bytes are compressed before the thread's other clients get their turn.
const BREATH: usize = 64 << 10;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `zstd`.
    Zstd,
    /// `br`.
    Brotli,
    /// `gzip`.
    Gzip,
}

impl Coding {
    /// All of them; of two that a client likes alike, the first.
    const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What a request with `headers` likes best; `None` is the answer as it is.
    #[must_use]
    pub fn preferred(headers: &HeaderMap) -> Option<Self> {
        let likes = Preferences::of(headers, header::ACCEPT_ENCODING);
        let plain = likes.of_token("identity");
        let mut best: Option<(Self, u16)> = None;
        for coding in Self::ALL {
            let liking = likes.of_token(coding.as_str()).or_else(|| likes.of_token("*")).unwrap_or(0);
            if liking > best.map_or(0, |(_, best)| best) {
                best = Some((coding, liking));
            }
        }
        best.filter(|(_, liking)| plain.is_none_or(|plain| plain <= *liking)).map(|(coding, _)| coding)
    }

    /// Whether a request with `headers` takes `gzip`, be it liked best or not.
    #[must_use]
    pub fn takes_gzip(headers: &HeaderMap) -> bool {
        let likes = Preferences::of(headers, header::ACCEPT_ENCODING);
        likes.of_token("gzip").or_else(|| likes.of_token("*")).is_some_and(|liking| liking > 0)
    }
}

/// Compresses `answer` if that is worth it and its client takes it; without memory for it the answer stays as it is.
pub async fn compress(mut answer: ServiceResponse<BoxBody>, memory: &Admission) -> ServiceResponse<BoxBody> {
    let BodySize::Sized(size) = answer.response().body().size() else { return answer };
    let is_question = matches!(*answer.request().method(), Method::GET | Method::HEAD);
    if (size < LEAST && !is_question) || !is_text(answer.headers()) {
        return answer;
    }
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if size < LEAST {
        return answer;
    }
    let Some(coding) = Coding::preferred(answer.request().headers()) else { return answer };
    let kib = usize::try_from(size).unwrap_or(usize::MAX).div_ceil(1024);
    let needed = kib.saturating_add(WORK);
    // nobody is refused for it, so a full memory is not asked
    let has_room = memory.used().saturating_add(needed) <= memory.capacity();
    let Some(mut permit) = has_room.then(|| memory.try_enter(needed).ok()).flatten() else { return answer };
    let (request, response) = answer.into_parts();
    let (mut response, body) = response.into_parts();
    let packed = match pack(body, coding, size).await {
        Ok(packed) => packed,
        Err(error) => {
            // what was read of the body cannot be put back
            tracing::error!(%error, coding = coding.as_str(), "an answer could not be compressed");
            let mut failed = ServiceResponse::from_err(Problem::Internal, request);
            failed.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
            return failed;
        }
    };
    drop(permit.split(needed.saturating_sub(packed.len().div_ceil(1024))));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    let body = BoxBody::new(Answer::held(packed.into(), permit));
    ServiceResponse::new(request, response.set_body(body))
}

/// Whether an answer with `headers` is text that nobody has compressed yet.
fn is_text(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text(header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let is_text = matches!(essence, "application/json" | "application/problem+json" | "text/plain" | "text/html" | "text/css")
        || matches!(essence, "text/javascript" | "application/openmetrics-text");
    is_text && !headers.contains_key(header::CONTENT_ENCODING)
}

async fn pack(body: BoxBody, coding: Coding, size: u64) -> io::Result<Vec<u8>> {
    let mut body = body;
    let mut packer = Packer::new(coding, size)?;
    while let Some(piece) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
        let piece: Bytes = piece.map_err(|error| io::Error::other(error.to_string()))?;
        for part in piece.chunks(BREATH) {
            packer.write_all(part)?;
            tokio::task::yield_now().await;
        }
    }
    let mut packed = packer.finish()?;
    packed.shrink_to_fit();
    Ok(packed)
}

/// One of the encoders; the levels are those that cost little more time than the fastest.
enum Packer {
    Zstd(zstd::Encoder<'static, Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl Packer {
    fn new(coding: Coding, size: u64) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
                // the encoder takes no more memory than the answer is worth
                encoder.set_pledged_src_size(Some(size))?;
                Self::Zstd(encoder)
            }
            Coding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 4_096, 4, 19))),
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(4))),
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.write_all(bytes),
            Self::Brotli(encoder) => encoder.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Gzip(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::{Context, Poll};
    use std::time::Duration;

    use actix_web::HttpResponse;
    use actix_web::test::TestRequest;

    use super::*;

    /// A body of another length than it says.
    struct Short(Option<Bytes>);

    impl MessageBody for Short {
        type Error = Infallible;

        fn size(&self) -> BodySize {
            BodySize::Sized(4_096)
        }

        fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
            Poll::Ready(self.get_mut().0.take().map(Ok))
        }
    }

    #[actix_web::test]
    async fn an_answer_that_cannot_be_compressed_is_an_error_and_no_empty_answer() {
        let memory = Admission::new(64 << 10, Duration::ZERO);
        let request = TestRequest::get().insert_header((header::ACCEPT_ENCODING, "zstd")).to_srv_request();
        let body = Short(Some(Bytes::from_static(b"[]")));
        let answer = HttpResponse::Ok().content_type("application/json").insert_header((header::ETAG, "\"1\"")).body(body);
        let answer = compress(request.into_response(answer), &memory).await;
        assert_eq!(answer.status().as_u16(), 500);
        let header = |name| answer.headers().get(name).map(|value| value.to_str().expect("text"));
        assert_eq!(header(header::CONTENT_TYPE), Some("application/problem+json"));
        assert_eq!((header(header::CONTENT_ENCODING), header(header::ETAG)), (None, None));
        assert_eq!(header(header::VARY), Some("Accept-Encoding"));
        let body = actix_web::body::to_bytes(answer.into_body()).await.expect("a body");
        assert!(body.starts_with(b"{\"type\":\"urn:plimsoll:problem:internal\""), "{body:?}");
        assert_eq!(memory.used(), 0);
    }

    fn preferred(accepted: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_str(accepted).expect("a header"));
        Coding::preferred(&headers).map(Coding::as_str)
    }

    #[test]
    fn the_coding_is_what_the_client_likes_best() {
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip, deflate, br", Some("br")),
            ("GZIP", Some("gzip")),
            ("gzip;q=0.9, br;q=0.8", Some("gzip")),
            ("br;q=0", None),
            ("*", Some("zstd")),
            ("zstd;q=0, *", Some("br")),
            ("identity, gzip;q=0.5", None),
            ("gzip, identity", Some("gzip")),
            ("identity;q=0.1, gzip;q=0.2", Some("gzip")),
            ("deflate", None),
            ("", None),
            ("gzip;q=2", None),
            ("gzip;q=x", None),
            (";;q=1,,", None),
        ] {
            assert_eq!(preferred(accepted), coding, "{accepted:?}");
        }
        assert_eq!(Coding::preferred(&HeaderMap::new()), None);
    }
}
