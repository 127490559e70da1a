//! The risk evaluator.

use std::sync::Arc;

use actix::Message;

use crate::domain::risk::limits::Limits;

/// From now on these limits hold.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct LimitsChanged(pub Arc<Limits>);
