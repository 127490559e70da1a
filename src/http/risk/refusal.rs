//! Why limits or the kill switch stay as they are, as the client sees it.

use crate::actors::kill_switch::OrderError;
use crate::actors::risk_limits::LimitsError;
use crate::http::problem::Problem;
use crate::storage::limits_book::ChangeError;

/// How long a client shall wait while others are served, in seconds.
const QUEUE_RETRY: u32 = 1;
/// How long a client shall wait for a failing disk, in seconds.
const FAILURE_RETRY: u32 = 5;

fn unavailable(detail: String, retry_after: u32) -> Problem {
    Problem::Unavailable { detail, retry_after }
}

impl From<LimitsError> for Problem {
    fn from(error: LimitsError) -> Self {
        match error {
            LimitsError::Busy => unavailable("too many changes are waiting; try again".to_owned(), QUEUE_RETRY),
            LimitsError::Refused(ChangeError::File { status, detail }) => Self::Conflict(format!(
                "the overrides file is {status}: {detail}; nothing was changed, and it was left as it is: mend it or move it \
                 away, then try again"
            )),
            LimitsError::Refused(ChangeError::Disk(reason)) => {
                unavailable(format!("the change cannot be written down, so nothing was changed: {reason}"), FAILURE_RETRY)
            }
            LimitsError::Refused(ChangeError::InForce(reason)) => {
                let detail =
                    format!("the limits are in force, but may not be written down, so a restart may forget them: {reason}");
                unavailable(detail, FAILURE_RETRY)
            }
            LimitsError::Unknown => Self::Internal,
        }
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Busy => unavailable("too many orders are waiting; try again".to_owned(), QUEUE_RETRY),
            OrderError::NotWritten(reason) => {
                let detail = format!("the new state cannot be written down, so the old one stays in force: {reason}");
                unavailable(detail, FAILURE_RETRY)
            }
            OrderError::OnlyInMemory(reason) => {
                let detail = format!("the state is in force, but not written down, so a restart may forget it: {reason}");
                unavailable(detail, FAILURE_RETRY)
            }
            OrderError::Unknown => Self::Internal,
        }
    }
}
