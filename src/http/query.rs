//! Query parameters, with all their faults at once.

use std::str::FromStr;

use actix_web::HttpRequest;
use actix_web::web::Query;
use chrono::NaiveDate;

use super::problem::Problem;
use crate::domain::clock::Timestamp;
use crate::domain::fault::FieldFault;
use crate::domain::filter::Filter;
use crate::domain::risk::daily_file::date;

/// The parameters of a request's query.
#[derive(Debug)]
pub struct Params {
    pairs: Vec<(String, String)>,
    faults: Vec<FieldFault>,
}

impl Params {
    /// Reads the query of `request`.
    ///
    /// # Errors
    /// It is no query at all.
    pub fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|_| Problem::Malformed("the query cannot be read".into()))?;
        Ok(Self { pairs: pairs.into_inner(), faults: Vec::new() })
    }

    /// The last value of `name`; empty ones are absent.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The value of `name`, read as `T`; `expected` is its fault.
    pub fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let parsed = self.text(name)?.parse().ok();
        if parsed.is_none() {
            self.fault(name, expected);
        }
        parsed
    }

    /// A whole number within `range`.
    pub fn number(&mut self, name: &str, range: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let expected = format!("must be a whole number from {} to {}", range.start(), range.end());
        let number = self.parsed(name, &expected)?;
        if !range.contains(&number) {
            self.fault(name, &expected);
            return None;
        }
        Some(number)
    }

    /// A time.
    pub fn time(&mut self, name: &str) -> Option<Timestamp> {
        // a plus that was not escaped arrives as a space
        match Timestamp::parse(&self.text(name)?.replace(' ', "+")) {
            Ok(time) => Some(time),
            Err(expected) => {
                self.fault(name, expected);
                None
            }
        }
    }

    /// A date of the form `YYYY-MM-DD`.
    pub fn date(&mut self, name: &str) -> Option<NaiveDate> {
        let date = date(self.text(name)?);
        if date.is_none() {
            self.fault(name, "must be a date such as 2025-11-18");
        }
        date
    }

    /// One of two words for yes, or one of two for no; absent is no.
    pub fn flag(&mut self, name: &str) -> bool {
        match self.text(name) {
            Some("true" | "1") => true,
            None | Some("false" | "0") => false,
            Some(_) => {
                self.fault(name, "must be true or false");
                false
            }
        }
    }

    /// The filter parameters.
    pub fn filter(&mut self) -> Filter {
        Filter::from_query(&self.pairs, &mut self.faults)
    }

    /// Notes a fault of `name`.
    pub fn fault(&mut self, name: &str, message: &str) {
        self.faults.push(FieldFault::new(name, message));
    }

    /// All is well, or everything that is not.
    ///
    /// # Errors
    /// The faults.
    pub fn finish(self) -> Result<(), Problem> {
        if self.faults.is_empty() { Ok(()) } else { Err(Problem::faults(self.faults)) }
    }
}
