//! What the artifact watcher watches: another kind of file is another row here.

use std::path::Path;

use chrono_tz::Tz;

use super::artifact_folder::Folder;
use crate::domain::artifact::{Finding, Reading};
use crate::domain::engine::file as engine_file;
use crate::domain::envelope::Rules;
use crate::domain::risk::daily_file;
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

/// Whether the service may have written the file of the engine of this name; `None` while that cannot be told.
pub type IsOurs = dyn Fn(&str) -> Option<bool> + Send;

/// Why a file of ours says nothing to anybody.
const NOT_KNOWN: &str = "says that plimsoll wrote it, but no such engine is known; it is read at the next start";

/// The heartbeat files of engines, below `artifacts`; times without an offset are `timezone`'s.
#[must_use]
pub fn engine_files(artifacts: &Path, timezone: Tz, rules: Rules, is_ours: Box<IsOurs>) -> Watch {
    let read = move |file: &str, bytes: &[u8]| match engine_file::parse(file, bytes, timezone, &rules) {
        Ok(Some(engine)) => {
            Reading::Event(Finding { event_type: "engine_heartbeat", said: engine.said, payload: engine.payload })
        }
        Ok(None) => match is_ours(file.strip_suffix(engine_file::SUFFIX).unwrap_or(file)) {
            Some(true) => Reading::Nothing,
            Some(false) => Reading::Bad(NOT_KNOWN.to_owned()),
            None => Reading::Unclear,
        },
        Err(reason) => Reading::Bad(reason),
    };
    Watch {
        name: "telemetry",
        folder: Folder::new(artifacts.join("telemetry"), engine_file::MAX_BYTES),
        matches: engine_file::is_engine_file,
        read: Box::new(read),
    }
}

/// The daily P&L files below `artifacts`. They are no events: whoever asks for VaR reads them; here their faults are found.
#[must_use]
pub fn daily_files(artifacts: &Path) -> Watch {
    Watch {
        name: "analytics/daily",
        folder: Folder::new(artifacts.join("analytics").join("daily"), daily_file::MAX_BYTES),
        matches: daily_file::is_daily_file,
        read: Box::new(|_, bytes| daily_file::parse(bytes).map_or_else(Reading::Bad, |_| Reading::Nothing)),
    }
}

/// The figures that an engine leaves below `artifacts`; local times are those of `session`.
#[must_use]
pub fn runtime_figures(artifacts: &Path, session: Session) -> Watch {
    let read = move |_: &str, bytes: &[u8]| match runtime_metrics::parse(bytes, &session) {
        Ok(payload) => Reading::Event(Finding { event_type: RUNTIME_METRICS, payload, said: None }),
        Err(reason) => Reading::Bad(reason),
    };
    Watch {
        name: "analytics",
        folder: Folder::new(artifacts.join("analytics"), runtime_metrics::MAX_BYTES),
        matches: |file| file == runtime_metrics::FILE,
        read: Box::new(read),
    }
}
