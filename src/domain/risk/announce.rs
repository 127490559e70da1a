//! Findings as events, and events as findings: what is published of breaches and warnings, and how it is known again after
//! a restart.
//!
//! Each event has an `event_id` made of its type, the limit, the symbol, the causing event and the step, so that the journal
//! takes none of them twice.

use std::collections::BTreeMap;

use compact_str::CompactString;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::breach::{Breach, Ending, Finding, Key, Moment, severity};
use super::limits::LimitKind;
use crate::domain::clock::Timestamp;
use crate::domain::engine::PLIMSOLL;
use crate::domain::event::{Event, Severity};
use crate::domain::id::EventId;
use crate::domain::money::{Number, amount, percent};

/// Places of figures in answers and events.
const PLACES: u32 = 10;
/// The longest symbol that is part of an `event_id` as it is.
const LONGEST: usize = 48;

/// A breach as routes and events tell it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Breach, example = json!({
    "type": "max_daily_loss", "limit": 5000, "current": 6200.5, "unit": "rupees", "severity": "critical",
    "message": "the day's loss of 6200.5 is over the limit of 5000", "symbol": null,
    "since": "2025-11-18T07:55:41.345678Z", "timestamp": "2025-11-18T08:01:02.000000Z", "utilization_pct": 124.01
}))]
pub struct BreachView<'a> {
    /// Which limit: `max_daily_loss`, or the name of its field.
    #[schema(example = "max_daily_loss")]
    r#type: &'static str,
    /// Its value.
    #[schema(value_type = f64)]
    limit: Number,
    /// The figure, which is greater.
    #[schema(value_type = f64)]
    current: Number,
    /// `rupees`, `percent`, `trades` or `losses`.
    unit: &'static str,
    /// `critical` for the loss and the drawdown, `warning` for the counts.
    severity: Severity,
    /// It in a sentence.
    message: String,
    /// The symbol that it is about.
    #[schema(required)]
    symbol: Option<&'a str>,
    /// When it was raised.
    #[schema(format = DateTime)]
    since: String,
    /// When the figure or the limit last changed.
    #[schema(format = DateTime)]
    timestamp: String,
    /// How much of the limit is used, in percent.
    #[schema(required, value_type = Option<f64>)]
    utilization_pct: Option<Number>,
}

/// An event that is to be published in Plimsoll's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its type.
    pub event_type: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// By which it is known again.
    pub event_id: String,
    /// The symbol that it is about.
    pub symbol: Option<CompactString>,
    /// The text of a JSON object.
    pub payload: String,
}

/// The type of a raised or updated breach.
const RAISED: &str = "risk_breach";
/// The type of one that ended.
const CLEARED: &str = "risk_breach_cleared";

impl Breach {
    /// As the API tells it.
    #[must_use]
    pub fn view(&self) -> BreachView<'_> {
        let kind = self.key.kind;
        BreachView {
            r#type: kind.breach_type(),
            limit: Number(self.limit),
            current: Number(self.current.round_dp(PLACES)),
            unit: kind.unit(),
            severity: severity(kind),
            message: self.message(),
            symbol: self.key.symbol.as_deref(),
            since: self.since.at.to_string(),
            timestamp: self.updated.to_string(),
            utilization_pct: percent(self.current, self.limit).map(|used| Number(used.round_dp(2))),
        }
    }

    /// It in a sentence.
    #[must_use]
    pub fn message(&self) -> String {
        let (current, limit) = (self.current.round_dp(2).normalize(), self.limit);
        let relation = if self.current > self.limit { "over" } else { "within" };
        let symbol = self.key.symbol.as_deref().unwrap_or("the symbol");
        match self.key.kind {
            LimitKind::MaxDailyLoss => format!("the day's loss of {current} is {relation} the limit of {limit}"),
            LimitKind::MaxDailyDrawdownPct => {
                format!("the day's drawdown of {current} % is {relation} the limit of {limit} %")
            }
            LimitKind::MaxTradesPerDay => format!("{current} trades today; the limit is {limit}"),
            LimitKind::MaxTradesPerSymbolPerDay => format!("{current} trades in {symbol} today; the limit is {limit}"),
            LimitKind::MaxLossStreak => format!("{current} losing trades in a row; the limit is {limit}"),
        }
    }
}

/// The type of the warnings of `kind`.
fn warning_type(kind: LimitKind) -> &'static str {
    match kind {
        LimitKind::MaxDailyLoss => "daily_loss_warning",
        LimitKind::MaxDailyDrawdownPct => "drawdown_warning",
        _ => "position_limit_warning",
    }
}

impl Finding {
    /// The event that tells it.
    #[must_use]
    pub fn announcement(&self) -> Announcement {
        let (breach, event_type, severity, ending) = match self {
            Self::Raised(breach) | Self::Updated(breach) => (breach, RAISED, severity(breach.key.kind), None),
            Self::Cleared(breach, ending) => (breach, CLEARED, Severity::Info, Some(ending)),
            Self::Warned(breach) => (breach, warning_type(breach.key.kind), Severity::Warning, None),
        };
        #[derive(Serialize)]
        struct Payload<'a> {
            #[serde(flatten)]
            breach: BreachView<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            reason: Option<&'static str>,
        }
        let view = BreachView { severity, ..breach.view() };
        let reason = ending.map(|ending| match ending {
            Ending::Within => "within_limit",
            Ending::DayRolled => "day_rolled",
        });
        let Breach { key, since, step, .. } = breach;
        let symbol = key.symbol.as_deref().map_or_else(String::new, short);
        let event_id = format!("{event_type}:{}:{symbol}:{}:{step}", key.kind.breach_type(), since.cause);
        Announcement {
            event_type,
            severity,
            event_id,
            symbol: key.symbol.clone(),
            // numbers and text always have a JSON form
            payload: serde_json::to_string(&Payload { breach: view, reason }).unwrap_or_default(),
        }
    }
}

/// A symbol as a part of an `event_id`, which has 128 bytes.
fn short(symbol: &str) -> String {
    if symbol.len() <= LONGEST {
        return symbol.to_owned();
    }
    // FNV-1a: the same in every version of the program
    let digest = symbol
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let head: String = symbol.chars().take(8).collect();
    format!("{head}~{digest:016x}")
}

/// What earlier runs have announced and not taken back.
#[derive(Debug, Clone, Default)]
pub struct Announced {
    /// The breaches.
    pub open: BTreeMap<Key, Breach>,
    /// The newest warnings, by the event that caused them.
    pub warned: BTreeMap<Key, EventId>,
    /// The newest breaches that were said to have ended, by the event that caused them.
    pub ended: BTreeMap<Key, EventId>,
}

/// The part of an event that its header may lack.
#[derive(Deserialize)]
struct Envelope {
    event_id: String,
}

/// The part of a payload by which it is known again.
#[derive(Deserialize)]
struct Told<'a> {
    r#type: String,
    symbol: Option<CompactString>,
    since: String,
    #[serde(borrow)]
    limit: &'a serde_json::value::RawValue,
    #[serde(borrow)]
    current: &'a serde_json::value::RawValue,
}

impl Announced {
    /// Takes an event, if it is an announcement of ours.
    pub fn take(&mut self, event: &Event) {
        let header = event.header();
        if header.source.as_deref() != Some(PLIMSOLL) {
            return;
        }
        let event_type = header.event_type.as_str();
        let is_warning = matches!(event_type, "daily_loss_warning" | "drawdown_warning" | "position_limit_warning");
        if is_warning || event_type == RAISED || event_type == CLEARED {
            // one that cannot be read is none of ours
            let _ = self.recall(event, event_type, is_warning);
        }
    }

    fn recall(&mut self, event: &Event, event_type: &str, is_warning: bool) -> Option<()> {
        let told: Told<'_> = serde_json::from_str(event.payload()).ok()?;
        let kind = LimitKind::ALL.into_iter().find(|kind| kind.breach_type() == told.r#type)?;
        let key = Key { kind, symbol: told.symbol };
        // the journal gives headers back without it, the text has it
        let event_id = serde_json::from_str::<Envelope>(event.json()).ok()?.event_id;
        let mut id = event_id.rsplitn(3, ':');
        let (step, cause) = (id.next()?.parse().ok()?, id.next()?.parse().ok()?);
        if is_warning {
            self.warned.insert(key, cause);
        } else if event_type == CLEARED {
            self.open.remove(&key);
            self.ended.insert(key, cause);
        } else {
            let since = Moment { at: Timestamp::parse(&told.since).ok()?, cause };
            let figure = |raw: &str| amount(raw).unwrap_or(Decimal::ZERO);
            let (limit, current) = (figure(told.limit.get()), figure(told.current.get()));
            let breach = Breach { key: key.clone(), limit, current, since, updated: event.header().timestamp, step };
            self.open.insert(key, breach);
        }
        Some(())
    }
}
