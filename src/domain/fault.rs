//! A fault in one field of what somebody sent us, said so that they can mend it.

use serde::Serialize;
use utoipa::ToSchema;

/// One fault: which field, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldFault {
    /// Path of the field as the sender spells it, such as `payload.symbol`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl FieldFault {
    /// A fault of `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}
