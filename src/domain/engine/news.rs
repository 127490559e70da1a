//! What an event on the bus means for an engine.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::terms::{EngineName, PLIMSOLL, Status};
use super::update::Update;
use crate::domain::event::Event;
use crate::domain::payload::Payload;

/// An engine's own metrics are kept up to this length, in bytes.
const MAX_METRICS: usize = 16 << 10;

/// What an event says about one engine.
#[derive(Debug, Clone)]
pub enum News {
    /// The engine gave a sign of life: a heartbeat, a health or status event of its own, or its file.
    Beat(Box<Beat>),
    /// Plimsoll has announced that it is silent (`true`), or back.
    Announced(EngineName, bool),
    /// Its watcher has published these market data metrics.
    Ticked(EngineName, serde_json::Value),
    /// It published anything else.
    Published(EngineName),
    /// Somebody gave a sign of life whose name no engine may have.
    Misnamed,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Beat {
    /// What it says of the record.
    pub update: Update,
    /// Metrics that came with it, as JSON.
    pub metrics: Option<Box<RawValue>>,
    /// Whether they are those of a market data engine.
    pub is_market_data: bool,
    /// Whether it is the engine's file.
    pub is_file: bool,
}

#[derive(Deserialize)]
struct Health<'a> {
    #[serde(alias = "mde_name")]
    engine_name: String,
    status: String,
    #[serde(borrow)]
    metrics: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Tick {
    mde_name: String,
    metrics: serde_json::Value,
}

impl News {
    /// What `event` says, if it is about an engine. Events of Plimsoll itself are no signs of life, but for the files that
    /// it has read.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let header = event.header();
        let kind = header.event_type.as_str();
        if header.source.as_deref() == Some(PLIMSOLL) {
            return match kind {
                "engine_heartbeat" => beat(event, true),
                "engine_stale" | "engine_recovered" => {
                    let Named { name } = serde_json::from_str(event.payload()).ok()?;
                    Some(Self::Announced(EngineName::parse(&name).ok()?, kind == "engine_stale"))
                }
                // most ticks report nothing that has to be remembered
                "mde_status" if event.payload().contains(r#""failed_symbols":[""#) => {
                    let Tick { mde_name, metrics } = serde_json::from_str(event.payload()).ok()?;
                    Some(Self::Ticked(EngineName::parse(&mde_name).ok()?, metrics))
                }
                _ => None,
            };
        }
        match kind {
            "engine_heartbeat" => beat(event, false),
            "engine_health" | "mde_status" => health(event, kind == "mde_status"),
            _ => Some(Self::Published(EngineName::parse(header.source.as_deref()?).ok()?)),
        }
    }

    /// Whom it is about.
    #[must_use]
    pub fn engine(&self) -> Option<&EngineName> {
        match self {
            Self::Beat(beat) => Some(&beat.update.name),
            Self::Announced(name, _) | Self::Ticked(name, _) | Self::Published(name) => Some(name),
            Self::Misnamed => None,
        }
    }
}

fn beat(event: &Event, is_ours: bool) -> Option<News> {
    let payload = Payload::inspect(event.payload(), usize::MAX).ok()?;
    let is_file = is_ours && payload.get("file").is_some();
    if is_ours && !is_file {
        return None;
    }
    // what is good of it: the beat itself is worth more than a field
    let (update, _) = Update::of(&payload, None);
    Some(News::Beat(Box::new(Beat { update: update?, metrics: None, is_market_data: false, is_file })))
}

fn health(event: &Event, is_market_data: bool) -> Option<News> {
    let health: Health<'_> = serde_json::from_str(event.payload()).ok()?;
    let Ok(name) = EngineName::parse(&health.engine_name) else { return Some(News::Misnamed) };
    // engines put fields of the record among their metrics
    let metrics = health.metrics.filter(|raw| raw.get().starts_with('{'));
    let inspected = metrics.and_then(|raw| Payload::inspect(raw.get(), usize::MAX).ok());
    let is_market_data = is_market_data || inspected.as_ref().is_some_and(is_of_market_data);
    let update = inspected.and_then(|payload| Update::of(&payload, Some(&name)).0);
    let update = Update { status: Status::of_health(&health.status), ..update.unwrap_or_else(|| Update::empty(name)) };
    let metrics = metrics.filter(|raw| raw.get().len() <= MAX_METRICS).map(ToOwned::to_owned);
    Some(News::Beat(Box::new(Beat { update, metrics, is_market_data, is_file: false })))
}

/// Whether metrics are those of a market data engine: some tell them as their health.
fn is_of_market_data(metrics: &Payload<'_>) -> bool {
    let figures = ["cached_symbols", "total_candles", "lookup_failures", "stale_symbols_count"];
    figures.iter().filter(|figure| metrics.get(figure).is_some()).count() >= 2
}
