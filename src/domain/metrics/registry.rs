//! All metrics, within bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use compact_str::CompactString;

use super::histogram::{Buckets, Histogram};
use super::labels::Labels;
use super::name::{Kind, MetricName, Prefix};
use super::predefined::PREDEFINED;
use super::write::{Change, Write};
use crate::domain::fault::FieldFault;

/// What a series takes beside its labels and buckets, in bytes: its key, its value, and their place in the map.
const SERIES: usize = 96;
/// What a metric takes beside its texts and series.
const METRIC: usize = 256;

/// How much there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Metrics beside the predefined ones.
    pub metrics: usize,
    /// Series of one metric.
    pub series: usize,
    /// Bytes of all of it.
    pub memory: usize,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Metrics, with the predefined ones.
    pub metrics: usize,
    /// Series of all of them.
    pub series: usize,
    /// About so many bytes.
    pub bytes: usize,
}

/// What a series holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Histogram(Histogram),
}

/// One metric with its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name without the prefix.
    pub name: MetricName,
    /// What it is.
    pub kind: Kind,
    /// What it means, if anybody said.
    pub help: Option<String>,
    /// The bounds of a histogram.
    pub buckets: Buckets,
    /// Its series.
    pub series: BTreeMap<Labels, Value>,
}

/// All metrics. A clone is cheap: it shares those that do not change.
#[derive(Debug, Clone)]
pub struct Registry {
    prefix: Prefix,
    limits: Limits,
    metrics: BTreeMap<MetricName, Arc<Metric>>,
    /// Which metric has which name in Prometheus text, without the prefix.
    exposed: BTreeMap<CompactString, MetricName>,
    usage: Usage,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// It does not fit what is there.
    Fault(FieldFault),
    /// There is no room for its series.
    NoRoom(FieldFault),
}

/// What became of a batch in which nothing was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Changes made.
    pub accepted: usize,
    /// Those that found no room, by their place in the batch.
    pub refused: Vec<(usize, FieldFault)>,
}

/// How to take a change back.
struct Undo {
    name: MetricName,
    labels: Labels,
    before: Option<Value>,
    had_help: bool,
    is_new: bool,
}

impl Registry {
    /// The predefined metrics. Counters and histograms without labels begin with nothing counted; of a gauge nothing is
    /// known yet.
    #[must_use]
    pub fn new(prefix: Prefix, limits: Limits) -> Self {
        let mut registry = Self { prefix, limits, metrics: BTreeMap::new(), exposed: BTreeMap::new(), usage: Usage::default() };
        for predefined in &PREDEFINED {
            let name = predefined.name();
            let metric = Metric::new(name.clone(), predefined.kind, Some(predefined.help.to_owned()), Buckets::default());
            registry.insert(metric);
            if let Some(value) = Value::nothing(predefined.kind, &Buckets::default()) {
                registry.put(&name, Labels::default(), value);
            }
        }
        registry
    }

    /// What stands before each name in Prometheus text.
    #[must_use]
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// How much there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// All metrics, by name.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = &Metric> {
        self.metrics.values().map(AsRef::as_ref)
    }

    /// The metric that somebody calls `name`: without the prefix, with it, or as Prometheus reads it.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Metric> {
        let bare = self.prefix.strip(name);
        let known = self.metrics.get(bare).or_else(|| self.metrics.get(self.exposed.get(bare)?));
        known.map(AsRef::as_ref)
    }

    /// Makes all changes of a batch in their order, but for those that find no room; or none, when anything is wrong.
    ///
    /// # Errors
    /// Everything that is wrong, by its place in the batch.
    pub fn take(&mut self, batch: Vec<Write>) -> Result<Taken, Vec<(usize, FieldFault)>> {
        let (mut taken, mut faults, mut undos) = (Taken::default(), Vec::new(), Vec::new());
        for (index, write) in batch.into_iter().enumerate() {
            match self.apply(write, true) {
                Ok(undo) => undos.push(undo),
                Err(Refused::Fault(fault)) => faults.push((index, fault)),
                Err(Refused::NoRoom(fault)) => taken.refused.push((index, fault)),
            }
        }
        if faults.is_empty() {
            taken.accepted = undos.len();
            return Ok(taken);
        }
        undos.into_iter().rev().for_each(|undo| self.undo(undo));
        Err(faults)
    }

    /// Makes one change of a predefined metric; `is_bounded` is false for the series that takes what found no room.
    ///
    /// # Errors
    /// It was not made.
    pub fn record(&mut self, write: Write, is_bounded: bool) -> Result<(), Refused> {
        self.apply(write, is_bounded).map(drop)
    }

    fn apply(&mut self, write: Write, is_bounded: bool) -> Result<Undo, Refused> {
        let Write { name, labels, change, help, buckets } = write;
        let kind = change.kind();
        let known = self.metrics.get(&name);
        let bounds = match known {
            Some(metric) => metric.fits(kind, buckets.as_ref())?.clone(),
            None => {
                self.is_free(&name, kind)?;
                buckets.unwrap_or_default()
            }
        };
        let before = known.and_then(|metric| metric.series.get(&labels)).cloned();
        let value = changed(before.clone(), change, &bounds)?;
        let had_help = known.is_some_and(|metric| metric.help.is_some());
        let is_new = known.is_none();
        if is_bounded {
            let series = known.map_or(0, |metric| metric.series.len());
            let help = if had_help { 0 } else { help.as_ref().map_or(0, String::len) };
            let metric = if is_new { METRIC + 2 * name.as_str().len() + size_of_val(bounds.bounds()) } else { 0 };
            self.has_room(is_new, before.is_none().then_some(series), metric + help + cost(&labels, &value))?;
        }
        if is_new {
            self.insert(Metric::new(name.clone(), kind, help, bounds));
        } else if !had_help && let (Some(help), Some(metric)) = (help, self.metrics.get_mut(&name)) {
            self.usage.bytes += help.len();
            Arc::make_mut(metric).help = Some(help);
        }
        self.put(&name, labels.clone(), value);
        Ok(Undo { name, labels, before, had_help, is_new })
    }

    fn is_free(&self, name: &MetricName, kind: Kind) -> Result<(), Refused> {
        let exposed = name.exposed(kind);
        let Some(other) = self.exposed.get(&exposed) else { return Ok(()) };
        let prefix = self.prefix.as_str();
        let message = format!("would read {prefix}_{exposed} in Prometheus text, as {other} does already; take another name");
        Err(Refused::Fault(FieldFault::new("name", message)))
    }

    /// Whether `bytes` for a new series fit, of a metric that has `series`; what is there already has its room.
    fn has_room(&self, is_new: bool, series: Option<usize>, bytes: usize) -> Result<(), Refused> {
        let no_room = |field: &str, message: String| Err(Refused::NoRoom(FieldFault::new(field, message)));
        let Limits { metrics: max_metrics, series: max_series, memory } = self.limits;
        let Some(series) = series else { return Ok(()) };
        if is_new && self.metrics.len() >= max_metrics + PREDEFINED.len() {
            return no_room("name", format!("finds no room: there are {max_metrics} metrics already (metrics.max_metrics)"));
        }
        if series >= max_series {
            return no_room("labels", format!("find no room: the metric has {max_series} series already (metrics.max_series)"));
        }
        if self.usage.bytes + bytes > memory {
            return no_room("labels", format!("find no room: all metrics take {memory} bytes already (metrics.memory)"));
        }
        Ok(())
    }

    fn insert(&mut self, metric: Metric) {
        self.usage.metrics += 1;
        self.usage.bytes += metric.size();
        self.exposed.insert(metric.name.exposed(metric.kind), metric.name.clone());
        self.metrics.insert(metric.name.clone(), Arc::new(metric));
    }

    fn put(&mut self, name: &MetricName, labels: Labels, value: Value) {
        let Some(metric) = self.metrics.get_mut(name) else { return };
        let bytes = cost(&labels, &value);
        if Arc::make_mut(metric).series.insert(labels, value).is_none() {
            self.usage.series += 1;
            self.usage.bytes += bytes;
        }
    }

    fn undo(&mut self, Undo { name, labels, before, had_help, is_new }: Undo) {
        if let Some(before) = before {
            self.put(&name, labels, before);
        } else if let Some(metric) = self.metrics.get_mut(&name)
            && let Some(value) = Arc::make_mut(metric).series.remove(&labels)
        {
            self.usage.series -= 1;
            self.usage.bytes -= cost(&labels, &value);
        }
        if is_new && let Some(metric) = self.metrics.remove(&name) {
            self.usage.metrics -= 1;
            self.usage.bytes -= metric.size();
            self.exposed.remove(&name.exposed(metric.kind));
        } else if !had_help && let Some(metric) = self.metrics.get_mut(&name) {
            self.usage.bytes -= Arc::make_mut(metric).help.take().map_or(0, |help| help.len());
        }
    }
}

impl Metric {
    fn new(name: MetricName, kind: Kind, help: Option<String>, buckets: Buckets) -> Self {
        Self { name, kind, help, buckets, series: BTreeMap::new() }
    }

    /// The bounds, when a change of `kind` that names `buckets` fits.
    fn fits(&self, kind: Kind, buckets: Option<&Buckets>) -> Result<&Buckets, Refused> {
        if self.kind != kind {
            let message = format!("must be {}: that is what {} is", self.kind.as_str(), self.name);
            return Err(Refused::Fault(FieldFault::new("kind", message)));
        }
        if buckets.is_some_and(|buckets| *buckets != self.buckets) {
            let message = format!("must be left out, or be those of the first post: {:?}", self.buckets.bounds());
            return Err(Refused::Fault(FieldFault::new("buckets", message)));
        }
        Ok(&self.buckets)
    }

    /// Bytes, but for its series.
    fn size(&self) -> usize {
        let bounds = if self.kind == Kind::Histogram { size_of_val(self.buckets.bounds()) } else { 0 };
        METRIC + 2 * self.name.as_str().len() + bounds + self.help.as_ref().map_or(0, String::len)
    }
}

impl Value {
    /// Nothing counted; `None` for a gauge, of which that would be a figure.
    fn nothing(kind: Kind, buckets: &Buckets) -> Option<Self> {
        match kind {
            Kind::Counter => Some(Self::Number(0.0)),
            Kind::Gauge => None,
            Kind::Histogram => Some(Self::Histogram(Histogram::new(buckets))),
        }
    }
}

/// The value behind `change`.
fn changed(before: Option<Value>, change: Change, buckets: &Buckets) -> Result<Value, Refused> {
    let number = |before: Option<Value>| if let Some(Value::Number(number)) = before { number } else { 0.0 };
    let after = match change {
        Change::Set(value) => Some(value).filter(|value| value.is_finite()).map(Value::Number),
        Change::Add(step) if step < 0.0 => {
            return Err(Refused::Fault(FieldFault::new("value", "must not be below zero: a counter only rises")));
        }
        Change::Add(step) | Change::Move(step) => {
            Some(number(before) + step).filter(|value| value.is_finite()).map(Value::Number)
        }
        Change::Observe(value) => {
            let so_far = if let Some(Value::Histogram(histogram)) = before { histogram } else { Histogram::new(buckets) };
            so_far.with(value, buckets).map(Value::Histogram)
        }
    };
    after.ok_or_else(|| Refused::Fault(FieldFault::new("value", "must leave what it is added to a finite number")))
}

/// Bytes of one series.
fn cost(labels: &Labels, value: &Value) -> usize {
    SERIES + labels.size() + if let Value::Histogram(histogram) = value { histogram.size() } else { 0 }
}
