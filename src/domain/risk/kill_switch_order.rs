//! An operator's order to the kill switch, read from JSON with all its faults at once.

use super::kill_switch::{MAX_REASON, TradingState};
use super::operator;
use crate::domain::fault::FieldFault;
use crate::domain::payload::{Payload, unquote};

/// Deepest nesting that is looked into.
const MAX_DEPTH: usize = 8;
/// So many faults are told.
const MAX_FAULTS: usize = 32;

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KillSwitchOrder {
    /// What shall be allowed.
    pub state: TradingState,
    /// Why.
    pub reason: String,
    /// Who, if it is said here.
    pub actor: Option<String>,
}

impl KillSwitchOrder {
    /// Reads `{"state", "reason", "actor"?}`.
    ///
    /// # Errors
    /// All faults at once; one without a field when it is no JSON object at all.
    ///
    /// ```
    /// use plimsoll::domain::risk::kill_switch_order::KillSwitchOrder;
    /// assert!(KillSwitchOrder::parse(r#"{"state":"halted","reason":"fat finger"}"#).is_ok());
    /// assert_eq!(KillSwitchOrder::parse(r#"{"state":"off"}"#).expect_err("two faults").len(), 2);
    /// ```
    pub fn parse(json: &str) -> Result<Self, Vec<FieldFault>> {
        let fields = Payload::inspect(operator::object(json)?, MAX_DEPTH).map_err(operator::broken)?;
        let mut faults = Vec::new();
        let mut read = |name: &str, is_required: bool, check: &dyn Fn(&str) -> Option<&'static str>| {
            let raw = fields.get(name).filter(|raw| *raw != "null");
            let (text, fault) = match raw.map(unquote) {
                None => (None, is_required.then_some("is required")),
                Some(None) => (None, Some("must be text")),
                Some(Some(text)) => {
                    let fault = check(&text);
                    (Some(text.into_owned()), fault)
                }
            };
            faults.extend(fault.map(|message| FieldFault::new(name, message)));
            text
        };
        let state = read("state", true, &|text| text.parse::<TradingState>().err());
        let reason = read("reason", true, &|text| reason_fault(text));
        let actor = read("actor", false, &|text| operator::name(text).err());
        let unknown = fields.fields().filter(|(key, _)| !["state", "reason", "actor"].contains(key));
        faults.extend(
            unknown.map(|(key, _)| FieldFault::new(key.chars().take(64).collect::<String>(), "is not a field of an order")),
        );
        faults.truncate(MAX_FAULTS);
        match (state.and_then(|state| state.parse().ok()), reason) {
            (Some(state), Some(reason)) if faults.is_empty() => Ok(Self { state, reason: reason.trim().to_owned(), actor }),
            _ => Err(faults),
        }
    }
}

fn reason_fault(text: &str) -> Option<&'static str> {
    let fits = !text.trim().is_empty() && text.chars().nth(MAX_REASON).is_none();
    (!fits).then_some("must be 1 to 500 characters long")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(json: &str) -> Vec<String> {
        KillSwitchOrder::parse(json).expect_err("refused").into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn every_fault_is_told_at_once() {
        assert_eq!(faults(r#"{"state":"off","reason":" ","actor":"a b","force":true}"#), ["state", "reason", "actor", "force"]);
        assert_eq!(faults("{}"), ["state", "reason"]);
        assert_eq!(faults(r#"{"state":1,"reason":["x"]}"#), ["state", "reason"]);
        assert_eq!(faults(r#"{"state":"HALTED","reason":"x"}"#), ["state"]);
        assert_eq!(faults(&format!(r#"{{"state":"halted","reason":"{}"}}"#, "x".repeat(501))), ["reason"]);
        for bad in ["", "[]", "7", "{", r#"{"state":"halted","state":"active","reason":"x"}"#] {
            assert_eq!(faults(bad), [""], "{bad}");
        }
    }

    #[test]
    fn an_order_is_taken_with_or_without_a_name() {
        let order = KillSwitchOrder::parse(r#"{"state":"reducing","reason":" caf\u00e9 ","actor":null}"#).expect("valid");
        assert_eq!((order.state, order.reason.as_str(), order.actor), (TradingState::Reducing, "café", None));
        let order = KillSwitchOrder::parse(r#"{"state":"active","reason":"ok","actor":"bob"}"#).expect("valid");
        assert_eq!(order.actor.as_deref(), Some("bob"));
    }
}
