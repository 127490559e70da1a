//! The fold of the events into the engines' records: which engine an event is about, and what becomes of the first that is
//! heard of one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::engine_model::EngineModel;
use crate::domain::clock::Timestamp;
use crate::domain::engine::owner::{Doubt, Owner, Owners};
use crate::domain::engine::{Engine, EngineName, Kept, Kind, News};
use crate::domain::event::Event;

/// Sources that published something before their first beat: what they said is kept for so many.
const MAX_EARLY: usize = 1_000;

/// The fold; the records themselves are the read model.
pub struct EngineFold {
    model: Arc<EngineModel>,
    /// Most engines.
    max: usize,
    /// Kinds that the configuration names.
    kinds: HashMap<String, Kind>,
    /// Sources that have not beaten yet.
    early: HashMap<EngineName, Engine>,
    owners: Owners,
    doubt: Doubt,
}

/// What an event changed that others go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The engine gave a sign of life, by its file or otherwise.
    Beat(EngineName, bool),
    /// Its silence or its return was announced.
    Announced(EngineName),
}

impl EngineFold {
    /// Folds into `model`.
    #[must_use]
    pub fn new(model: Arc<EngineModel>, max: usize, kinds: HashMap<String, Kind>) -> Self {
        Self { model, max, kinds, early: HashMap::new(), owners: Owners::default(), doubt: Doubt::default() }
    }

    /// Takes one event.
    pub fn take(&mut self, event: &Event, now: Timestamp) -> Option<Change> {
        let news = self.news(event)?;
        let Some(name) = news.engine().cloned() else {
            self.model.misnamed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if let News::Beat(beat) = &news
            && let Some(metrics) = beat.metrics.as_ref().filter(|_| !beat.is_market_data)
        {
            self.owners.reported(&name, metrics);
        }
        let change = match &news {
            News::Beat(beat) => Some(Change::Beat(name.clone(), beat.is_file)),
            News::Announced(..) => Some(Change::Announced(name.clone())),
            _ => None,
        };
        if let Some(mut engine) = self.model.engines.get_mut(&name) {
            engine.observe(news, event, now);
            self.owners.know(&name, engine.kind());
            return change;
        }
        match &news {
            News::Beat(_) => {
                let mut engine = self.entering(&name)?;
                engine.observe(news, event, now);
                self.enter(name, engine);
                change
            }
            News::Published(_) if self.early.len() < MAX_EARLY || self.early.contains_key(&name) => {
                let fresh = self.fresh(&name);
                self.early.entry(name).or_insert(fresh).observe(news, event, now);
                None
            }
            _ => None,
        }
    }

    /// Takes what the file of an engine kept, of time `modified`.
    pub fn recall(&mut self, kept: Kept, modified: Timestamp, now: Timestamp) {
        let name = kept.update.name.clone();
        if let Some(mut engine) = self.model.engines.get_mut(&name) {
            return engine.recall(kept, modified, now);
        }
        if let Some(mut engine) = self.entering(&name) {
            engine.recall(kept, modified, now);
            self.enter(name, engine);
        }
    }

    /// What `event` says about an engine.
    fn news(&mut self, event: &Event) -> Option<News> {
        let news = News::of(event);
        if news.is_some() || event.header().source.is_some() {
            return news;
        }
        match self.owners.of(event) {
            Owner::Engine(name) => Some(News::Published(name)),
            Owner::Unknown(share) => {
                if self.doubt.add(share) {
                    let doubt = self.doubt;
                    self.model.engines.iter_mut().for_each(|mut engine| engine.doubt(doubt));
                    self.early.values_mut().for_each(|engine| engine.doubt(doubt));
                }
                None
            }
            Owner::Nobody => None,
        }
    }

    /// An engine that is heard of for the first time; `None` and counted if it is one too many.
    fn entering(&mut self, name: &EngineName) -> Option<Engine> {
        if self.model.engines.len() >= self.max {
            self.model.ignored.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.early.remove(name).unwrap_or_else(|| self.fresh(name)))
    }

    fn enter(&mut self, name: EngineName, engine: Engine) {
        self.owners.know(&name, engine.kind());
        self.model.engines.insert(name, engine);
    }

    fn fresh(&self, name: &EngineName) -> Engine {
        let mut engine = Engine::new(name.clone(), self.kinds.get(name.as_str()).copied());
        engine.doubt(self.doubt);
        engine
    }
}
