//! One day's P&L as engines, and Plimsoll itself, leave it in `YYYY-MM-DD-metrics.json`.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::domain::engine::PLIMSOLL;
use crate::domain::money::amount;
use crate::domain::payload::Payload;

/// The largest file that is read, in bytes.
pub const MAX_BYTES: u64 = 4 << 20;

/// How the file's name goes on behind the date.
const SUFFIX: &str = "-metrics.json";
/// Deeper files are nobody's.
const MAX_DEPTH: usize = 64;

/// What a day's file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DailyFile {
    /// `overall.net_pnl`, else `equity.realized_pnl`, in the account's currency, to 12 places.
    pub pnl: Decimal,
    /// `equity.starting_capital`, if it is a number above 0.
    pub starting_capital: Option<Decimal>,
    /// Whether it has a starting capital that is no number above 0.
    pub has_bad_capital: bool,
    /// Whether Plimsoll wrote it: then it is the day's own P&L, also where engines write running totals.
    pub is_ours: bool,
}

/// The date of a day's file; `None` for any other name.
#[must_use]
pub fn date_of(file: &str) -> Option<NaiveDate> {
    date(file.strip_suffix(SUFFIX)?)
}

/// The name of the file of `date`.
#[must_use]
pub fn name_of(date: NaiveDate) -> String {
    format!("{date}{SUFFIX}")
}

/// Whether `file` is named like a day's file.
#[must_use]
pub fn is_daily_file(file: &str) -> bool {
    date_of(file).is_some()
}

/// Reads a date of the form `YYYY-MM-DD`, and of no other.
///
/// ```
/// use plimsoll::domain::risk::daily_file::date;
/// assert_eq!(date("2024-02-29").map(|date| date.to_string()), Some("2024-02-29".to_owned()));
/// assert_eq!((date("2024-02-30"), date("2024-2-9"), date("+2024-02-09")), (None, None, None));
/// ```
#[must_use]
pub fn date(text: &str) -> Option<NaiveDate> {
    let is_plain = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| is_plain)
}

/// Reads the content of a day's file. A figure that is absent or null is not there; one of another type is a fault, since
/// nobody knows what its writer meant.
///
/// # Errors
/// A sentence for the operator: why no P&L can be taken from it.
pub fn parse(bytes: &[u8]) -> Result<DailyFile, String> {
    let file = Payload::of_file(bytes, MAX_DEPTH)?;
    let part = |name: &str| match file.get(name).filter(|raw| *raw != "null") {
        Some(raw) => object(raw).map_err(|reason| format!("{name} {reason}")),
        None => Ok(Payload::default()),
    };
    let (overall, equity) = (part("overall")?, part("equity")?);
    let pnl = match number(&overall, "overall", "net_pnl")? {
        Some(pnl) => Some(pnl),
        None => number(&equity, "equity", "realized_pnl")?,
    };
    // what is only a base for percents shall not hide the day
    let capital = number(&equity, "equity", "starting_capital");
    let is_named = equity.get("starting_capital").is_some_and(|raw| raw != "null");
    let starting_capital = capital.ok().flatten().filter(|capital| *capital > Decimal::ZERO);
    Ok(DailyFile {
        pnl: pnl.ok_or("has neither overall.net_pnl nor equity.realized_pnl")?,
        starting_capital,
        has_bad_capital: is_named && starting_capital.is_none(),
        is_ours: file.text("written_by").as_deref() == Some(PLIMSOLL),
    })
}

fn object(raw: &str) -> Result<Payload<'_>, String> {
    if raw.starts_with('{') { Payload::inspect(raw, MAX_DEPTH) } else { Err("is not an object".to_owned()) }
}

fn number(part: &Payload<'_>, of: &str, name: &str) -> Result<Option<Decimal>, String> {
    let Some(raw) = part.get(name).filter(|raw| *raw != "null") else { return Ok(None) };
    amount(raw).map(Some).ok_or_else(|| format!("{of}.{name} is not a number of at most 10^15"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pnl(text: &str) -> Result<String, String> {
        parse(text.as_bytes()).map(|file| file.pnl.to_string())
    }

    #[test]
    fn the_net_pnl_is_taken_else_the_realized_one() {
        let both = r#"{"asof":"2024-04-01T15:29:59","equity":{"starting_capital":5000000.0,"realized_pnl":1},"overall":{"net_pnl":929.4999999995925}}"#;
        let file = parse(both.as_bytes()).expect("good");
        assert_eq!(
            (file.pnl.to_string(), file.starting_capital),
            ("929.499999999592".to_owned(), Some(Decimal::from(5_000_000)))
        );
        assert_eq!(pnl(r#"{"equity":{"realized_pnl":-12.50},"overall":{"net_pnl":null}}"#), Ok("-12.5".to_owned()));
        assert_eq!(pnl(r#"{"overall":{"net_pnl":-1.5E3}}"#), Ok("-1500".to_owned()));
        assert_eq!(pnl(r#"{"overall":{"net_pnl":1e-30}}"#), Ok("0".to_owned()), "what a sum of floats leaves");
        assert_eq!(pnl("\u{feff}{\"overall\":{\"net_pnl\":0}}\n"), Ok("0".to_owned()));
    }

    #[test]
    fn a_capital_that_is_no_amount_is_unknown_and_hides_nothing() {
        for capital in ["\"5000000\"", "0", "-5", "null", "[]", "1e300"] {
            let text = format!(r#"{{"equity":{{"starting_capital":{capital}}},"overall":{{"net_pnl":7}}}}"#);
            let file = parse(text.as_bytes()).expect(capital);
            assert_eq!((file.starting_capital, file.has_bad_capital), (None, capital != "null"), "{capital}");
        }
    }

    #[test]
    fn a_file_without_a_usable_pnl_says_why() {
        for (text, reason) in [
            ("", "is empty"),
            ("{\"overall\":{\"net_pnl\":1}", "EOF"),
            ("[]", "must be an object"),
            ("7", "must be an object"),
            ("{}", "neither"),
            (r#"{"net_pnl":5}"#, "neither"),
            (r#"{"overall":[5]}"#, "overall is not an object"),
            (r#"{"overall":{"net_pnl":"5"}}"#, "overall.net_pnl is not a number"),
            (r#"{"overall":{"net_pnl":true},"equity":{"realized_pnl":5}}"#, "overall.net_pnl is not a number"),
            (r#"{"equity":{"realized_pnl":[5]}}"#, "equity.realized_pnl is not a number"),
            (r#"{"overall":{"net_pnl":NaN}}"#, ""),
            (r#"{"overall":{"net_pnl":-Infinity}}"#, ""),
            (r#"{"overall":{"net_pnl":1e999}}"#, ""),
            (r#"{"overall":{"net_pnl":1e300}}"#, "10^15"),
            (r#"{"overall":{"net_pnl":1,"net_pnl":2}}"#, "repeated"),
        ] {
            let fault = pnl(text).expect_err(text);
            assert!(fault.contains(reason) && !fault.is_empty(), "{text}: {fault}");
        }
        assert!(parse(b"\xff\xfe").is_err());
        assert!(parse(&b"[".repeat(100_000)).is_err());
    }

    #[test]
    fn only_names_with_a_real_date_are_days() {
        assert_eq!(date_of("2024-04-01-metrics.json").map(name_of).as_deref(), Some("2024-04-01-metrics.json"));
        for name in [
            "2024-02-30-metrics.json",
            "2024-4-1-metrics.json",
            ".2024-04-01-metrics.json.new",
            "metrics.json",
            "2024-04-01.json",
        ] {
            assert_eq!(date_of(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_reason_to_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn what_a_float_says_is_what_is_read_to_twelve_places(value in -1e15..1e15_f64) {
            let read = pnl(&format!(r#"{{"overall":{{"net_pnl":{value:?}}}}}"#)).expect("a number");
            prop_assert!((read.parse::<f64>().expect("a number") - value).abs() <= 1e-12);
        }
    }
}
