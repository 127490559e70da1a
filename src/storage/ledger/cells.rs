//! Values as the tables hold them: decimals as text with all their digits.

use std::str::FromStr;

use compact_str::CompactString;
use rusqlite::Row;
use rusqlite::types::Type;
use rust_decimal::Decimal;

use crate::domain::analytics::sum::Sum;

/// A decimal for its column.
pub(super) fn decimal(value: Option<Decimal>) -> Option<String> {
    value.map(|value| value.normalize().to_string())
}

/// A sum for its column.
pub(super) fn sum(value: Sum) -> String {
    value.to_string()
}

/// The value whose text is in `column`.
pub(super) fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let Some(text) = row.get_ref(column)?.as_str_or_null()? else { return Ok(None) };
    text.parse().map(Some).map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// The sum in `column`, which always holds one.
pub(super) fn sum_at(row: &Row<'_>, column: usize) -> rusqlite::Result<Sum> {
    Ok(parsed(row, column)?.unwrap_or_default())
}

/// The count in `column`.
pub(super) fn count_at(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// A count for its column.
pub(super) fn count(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The short text in `column`.
pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<CompactString>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(CompactString::new))
}
