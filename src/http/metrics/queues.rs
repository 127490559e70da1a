//! Every queue: how full it is, how much it holds, and whom it refused.

use super::page::Page;
use crate::actors::admission::Admission;
use crate::http::state::State;

/// What a queue counts.
#[derive(Debug, Clone, Copy)]
enum Unit {
    /// KiB, shown in bytes.
    Kib,
    /// Questions, posts, reads.
    Requests,
    /// Clients that wait or listen.
    Clients,
}

impl Unit {
    fn label(self) -> &'static str {
        match self {
            Self::Kib => "bytes",
            Self::Requests => "requests",
            Self::Clients => "clients",
        }
    }

    fn shown(self, units: usize) -> f64 {
        match self {
            Self::Kib => units as f64 * 1024.0,
            Self::Requests | Self::Clients => units as f64,
        }
    }
}

fn all(state: &State) -> Vec<(&'static str, Unit, &Admission)> {
    let [switch_waiters, switch_orders] = state.kill_switch.queues();
    let [limit_changes, limit_looks] = state.risk_limits.queues();
    vec![
        ("events", Unit::Kib, state.bus.admission()),
        ("engine_ticks", Unit::Kib, state.engines.admission()),
        ("engine_files", Unit::Kib, &state.file_events),
        ("risk_findings", Unit::Kib, state.risk.findings()),
        ("risk_questions", Unit::Requests, state.risk.admission()),
        ("risk_limit_changes", Unit::Requests, limit_changes),
        ("risk_limit_looks", Unit::Requests, limit_looks),
        ("kill_switch_orders", Unit::Requests, switch_orders),
        ("kill_switch_waiters", Unit::Clients, switch_waiters),
        ("var_computations", Unit::Requests, state.var.admission()),
        ("var_askers", Unit::Clients, state.var.askers()),
        ("benchmarks", Unit::Requests, state.benchmarks.admission()),
        ("journal_queries", Unit::Requests, state.readers.admission()),
        ("log_reads", Unit::Requests, &state.logs.reads),
        ("log_followers", Unit::Clients, &state.logs.followers),
        ("request_bodies", Unit::Kib, &state.body_memory),
        ("answers", Unit::Kib, &state.answer_memory),
        ("ledger_questions", Unit::Requests, state.ledger.admission()),
        ("metric_posts", Unit::Requests, state.metrics_registry.admission()),
        ("metrics_pages", Unit::Requests, &state.scrapes),
    ]
}

pub(super) fn add(page: &mut Page, state: &State) {
    let queues = all(state);
    let family = page.gauge("plimsoll_queue_used", "What is in the queue, in its unit; bytes are counted in whole KiB.");
    for (name, unit, queue) in &queues {
        family.set(&[("queue", name), ("unit", unit.label())], unit.shown(queue.used()));
    }
    let family = page.gauge("plimsoll_queue_limit", "What the queue holds at most, in its unit.");
    for (name, unit, queue) in &queues {
        family.set(&[("queue", name), ("unit", unit.label())], unit.shown(queue.capacity()));
    }
    let family = page.counter("plimsoll_queue_refused_total", "Who found no room in the queue, and was told to come back.");
    for (name, _, queue) in &queues {
        family.count(&[("queue", name)], queue.refused());
    }
}
