//! What the artifact watcher watches: another kind of file is another row here.

use std::path::Path;

use chrono_tz::Tz;

use super::artifact_folder::Folder;
use crate::domain::artifact::{Finding, Reading};
use crate::domain::engine_file;
use crate::domain::envelope::Rules;
use crate::domain::risk::fact::RUNTIME_METRICS;
use crate::domain::risk::runtime_metrics;
use crate::domain::risk::session::Session;

/// What a file of this name with this content is.
pub type Read = dyn Fn(&str, &[u8]) -> Reading + Send;

/// One kind of file to watch: the table of these is all that the watcher knows about their content.
pub struct Watch {
    /// The folder as it is called in `/health`.
    pub name: &'static str,
    /// The folder, and its largest file.
    pub folder: Folder,
    /// Which of its files.
    pub matches: fn(&str) -> bool,
    /// What they are.
    pub read: Box<Read>,
}

/// The heartbeat files of engines, below `artifacts`; times without an offset are `timezone`'s.
#[must_use]
pub fn engine_files(artifacts: &Path, timezone: Tz, rules: Rules) -> Watch {
    let read = move |file: &str, bytes: &[u8]| match engine_file::parse(file, bytes, timezone, &rules) {
        Ok(Some(engine)) => Reading::Event(Finding { event_type: "engine_heartbeat", payload: engine.payload }),
        Ok(None) => Reading::Nothing,
        Err(reason) => Reading::Bad(reason),
    };
    Watch {
        name: "telemetry",
        folder: Folder::new(artifacts.join("telemetry"), engine_file::MAX_BYTES),
        matches: engine_file::is_engine_file,
        read: Box::new(read),
    }
}

/// The figures that an engine leaves below `artifacts`; local times are those of `session`.
#[must_use]
pub fn runtime_figures(artifacts: &Path, session: Session) -> Watch {
    let read = move |_: &str, bytes: &[u8]| match runtime_metrics::parse(bytes, &session) {
        Ok(payload) => Reading::Event(Finding { event_type: RUNTIME_METRICS, payload }),
        Err(reason) => Reading::Bad(reason),
    };
    Watch {
        name: "analytics",
        folder: Folder::new(artifacts.join("analytics"), runtime_metrics::MAX_BYTES),
        matches: |file| file == runtime_metrics::FILE,
        read: Box::new(read),
    }
}
