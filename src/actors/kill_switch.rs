//! The kill switch.

use actix::Message;

use crate::domain::risk::kill_switch::TradingState;

/// Makes trading no freer than `to`; a state that is as strict already stays as it is.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Trip {
    /// Reducing or halted.
    pub to: TradingState,
    /// Why, for people.
    pub reason: String,
    /// Who: an engine's name, or `risk_evaluator`.
    pub actor: String,
    /// What distinguishes this cause from others, such as a breach's type and `since`, or an event's id: a cause that has
    /// been taken once, and after which an operator re-armed trading, does not trip again.
    pub cause: String,
}
