//! The logs of engines: lines, records, and which of them somebody asks for.

pub mod filter;
pub mod json;
pub mod line;
pub mod record;
