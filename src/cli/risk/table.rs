//! Columns that are as wide as what is in them, and numbers as people read them.

use serde_json::Value;

use crate::cli::terminal::{Paint, harmless};

/// Characters of a full bar.
const BAR: usize = 20;

/// One cell.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    paint: Paint,
    is_number: bool,
}

impl Cell {
    /// Text, at the left.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self { text: harmless(text.as_ref()), paint: Paint::Plain, is_number: false }
    }

    /// A number, at the right; without one a dash.
    pub fn number(value: &Value) -> Self {
        Self { text: number(value), paint: Paint::Plain, is_number: true }
    }

    /// Something already written, at the right.
    pub fn right(text: impl AsRef<str>) -> Self {
        Self { is_number: true, ..Self::text(text) }
    }

    /// The same in this colour.
    pub fn painted(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }
}

/// The lines of a table under `heads`; a head stands as its column does.
pub fn lines(heads: &[&str], rows: Vec<Vec<Cell>>, colour: bool) -> Vec<String> {
    let is_number = |column: usize| rows.iter().filter_map(|row| row.get(column)).any(|cell| cell.is_number);
    let head = heads.iter().enumerate().map(|(column, head)| Cell {
        text: (*head).to_owned(),
        paint: Paint::Dim,
        is_number: is_number(column),
    });
    let all: Vec<Vec<Cell>> = std::iter::once(head.collect()).chain(rows).collect();
    let width =
        |column: usize| all.iter().filter_map(|row| row.get(column)).map(|cell| cell.text.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let line = |row: &Vec<Cell>| {
        let mut line = String::new();
        for (column, (Cell { text, paint, is_number }, width)) in row.iter().zip(&widths).enumerate() {
            let text = match is_number {
                true => format!("{text:>width$}  "),
                false if column + 1 == widths.len() => text.clone(),
                false => format!("{text:<width$}  "),
            };
            paint.add(&mut line, &text, colour);
        }
        line.trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// How much of something is used, in percent, as a bar.
pub fn bar(percent: Option<f64>) -> String {
    let Some(percent) = percent else { return "·".repeat(BAR) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast from a float saturates")]
    let full = ((percent.clamp(0.0, 100.0) / 100.0 * 20.0).round() as usize).min(BAR);
    // something is never shown as nothing
    let full = if percent > 0.0 { full.max(1) } else { full };
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

/// A number with its thousands grouped and at most four decimals; without one a dash.
pub fn number(value: &Value) -> String {
    let Value::Number(number) = value else { return "-".to_owned() };
    let text = match number.as_f64() {
        Some(float) if number.to_string().split_once('.').is_some_and(|(_, decimals)| decimals.len() > 4) => {
            format!("{float:.4}")
        }
        _ => number.to_string(),
    };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, decimals) = digits.split_at(digits.find(['.', 'e']).unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{decimals}")
}

/// The text at `key`; without one a dash.
pub fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).map_or_else(|| "-".to_owned(), harmless)
}

/// What is at `key`, or null.
pub fn at<'a>(value: &'a Value, key: &str) -> &'a Value {
    value.get(key).unwrap_or(&Value::Null)
}

/// The items of the array at `key`.
pub fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    at(value, key).as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_grouped_and_not_longer_than_anyone_reads() {
        let cases = [
            (json!(10000), "10,000"),
            (json!(-1234567.5), "-1,234,567.5"),
            (json!(0.123456), "0.1235"),
            (json!(999), "999"),
            (json!(1e300), "1e+300"),
            (json!(null), "-"),
            (json!("7"), "-"),
        ];
        for (value, text) in cases {
            assert_eq!(number(&value), text);
        }
    }

    #[test]
    fn a_bar_is_always_as_wide_and_something_is_never_nothing() {
        for percent in [None, Some(0.0), Some(0.1), Some(50.0), Some(100.0), Some(1e9), Some(-5.0), Some(f64::NAN)] {
            assert_eq!(bar(percent).chars().count(), BAR, "{percent:?}");
        }
        assert_eq!(bar(Some(0.1)).matches('█').count(), 1);
        assert_eq!(bar(Some(250.0)).matches('█').count(), BAR);
    }

    #[test]
    fn columns_are_aligned_and_harmless() {
        let rows = vec![
            vec![Cell::text("a\x1b[2J"), Cell::number(&json!(5)), Cell::text("x")],
            vec![Cell::text("b"), Cell::number(&json!(5000)), Cell::text("")],
        ];
        assert_eq!(
            lines(&["NAME", "VALUE", "NOTE"], rows, false),
            ["NAME   VALUE  NOTE", "a\u{fffd}[2J      5  x", "b      5,000"]
        );
    }
}
