//! `/api/v1`: trade analytics by profile, answered from the ledger.

pub mod breakout;
pub mod equity;
pub mod orders;
pub mod performance;
pub mod system;
pub mod trades;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use chrono::{Days, NaiveDate};

use super::problem::Problem;
use super::query::Params;
use super::state::State;
use crate::domain::clock::Timestamp;
use crate::storage::ledger::Span;

/// The profile that the path names.
///
/// # Errors
/// It is no integer of 64 bits.
pub(super) fn profile_id(request: &HttpRequest) -> Result<i64, Problem> {
    let text = request.match_info().get("profile_id").unwrap_or_default();
    let number = text.parse().ok().filter(|_| !text.starts_with('+'));
    number.ok_or_else(|| Problem::Malformed("the profile_id in the path must be an integer of 64 bits, such as 1".into()))
}

/// The date of `as_of`; today's trading day if it is not given.
pub(super) fn as_of(params: &mut Params, state: &State) -> NaiveDate {
    params.date("as_of").unwrap_or_else(|| state.session.date_of(state.clock.now()))
}

/// Where the window of a question for all there is begins.
pub(super) fn always() -> Timestamp {
    Timestamp::from_micros(i64::MIN)
}

/// The first of the `days` dates that end with `as_of`.
pub(super) fn first_date(as_of: NaiveDate, days: usize) -> NaiveDate {
    as_of.checked_sub_days(Days::new(days as u64 - 1)).unwrap_or(NaiveDate::MIN)
}

/// From when on nothing is known to be missing, where that is not before the window that begins at `start`.
pub(super) fn complete_from(state: &State, start: Timestamp) -> Option<String> {
    state.ledger.complete_from(start).map(|time| time.to_string())
}

/// An answer that is a list and has no field for [`complete_from`]: a header tells it.
pub(super) fn answer_of(state: &State, start: Timestamp) -> HttpResponseBuilder {
    let mut answer = HttpResponse::Ok();
    if let Some(time) = complete_from(state, start) {
        answer.insert_header(("complete-from", time));
    }
    answer
}

/// The trading days that a question is about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) days: u32,
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
    pub(super) span: Span,
}

impl Window {
    /// The `days` trading days that end with `as_of`.
    pub(super) fn read(params: &mut Params, state: &State, default_days: usize) -> Self {
        let days = params.number("days", 1..=365).unwrap_or(default_days);
        let to = as_of(params, state);
        let from = first_date(to, days);
        let span = Span { start: state.session.start_of(from), end: state.session.day(to).end };
        Self { days: u32::try_from(days).unwrap_or(u32::MAX), from, to, span }
    }
}
