//! What a client likes best, as `Accept` and `Accept-Encoding` say it (RFC 9110, 12.4.2).

use actix_web::http::header::{HeaderMap, HeaderName};

/// More wishes than this are not read.
const MAX_WISHES: usize = 64;

/// The wishes of a request, each with its weight in thousandths.
#[derive(Debug)]
pub struct Preferences<'a>(Vec<(&'a str, u16)>);

impl<'a> Preferences<'a> {
    /// What the headers called `name` say; a wish whose weight cannot be read is none.
    #[must_use]
    pub fn of(headers: &'a HeaderMap, name: HeaderName) -> Self {
        let lines = headers.get_all(name).filter_map(|line| line.to_str().ok());
        let wishes = lines.flat_map(|line| line.split(',')).take(MAX_WISHES);
        Self(wishes.filter_map(wish).collect())
    }

    /// The weight of exactly `token`; `None` if it is not mentioned.
    #[must_use]
    pub fn of_token(&self, token: &str) -> Option<u16> {
        self.0.iter().filter(|(said, _)| said.eq_ignore_ascii_case(token)).map(|(_, weight)| *weight).max()
    }
}

fn wish(text: &str) -> Option<(&str, u16)> {
    let mut parts = text.split(';').map(str::trim);
    let token = parts.next().filter(|token| !token.is_empty())?;
    let weights = parts.filter_map(|part| part.split_once('=')).filter(|(key, _)| key.trim().eq_ignore_ascii_case("q"));
    let mut weight = 1_000;
    for (_, value) in weights {
        weight = thousandths(value.trim())?;
    }
    Some((token, weight))
}

/// `0`, `1`, or one of these with up to three decimals.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let fits = decimals.len() <= 3 && decimals.bytes().all(|digit| digit.is_ascii_digit());
    let whole: u16 = whole.parse().ok().filter(|whole| fits && *whole <= 1)?;
    let decimals: u16 = format!("{decimals:0<3}").parse().ok()?;
    Some(whole * 1_000 + decimals).filter(|weight| *weight <= 1_000)
}
