//! The kill switch: what trading is allowed.
//!
//! It is latched. A [`Switch::trip`] only ever makes it stricter; only an operator's [`Switch::order`] makes it freer.
//! Neither a new day nor a restart does anything to it.

use std::collections::VecDeque;
use std::str::FromStr;

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::operator::MAX_NAME;
use crate::domain::clock::Timestamp;

/// What engines may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum TradingState {
    /// Trade.
    Active,
    /// Only close positions.
    Reducing,
    /// Nothing.
    Halted,
}

impl TradingState {
    /// All of them, freest first.
    pub const ALL: [Self; 3] = [Self::Active, Self::Reducing, Self::Halted];

    /// Its word in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reducing => "reducing",
            Self::Halted => "halted",
        }
    }
}

impl FromStr for TradingState {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|state| state.as_str() == word).ok_or("must be active, reducing or halted")
    }
}

/// So many causes are remembered; beyond that the oldest are forgotten, and would trip again.
pub const MAX_CAUSES: usize = 1_000;
/// Longest reason, in characters.
pub const MAX_REASON: usize = 500;
/// Longest cause that is remembered, in characters.
const MAX_CAUSE: usize = 256;
/// Who acts when nobody did.
pub const NOBODY: &str = "plimsoll";

/// How the switch stands, since when and why: a line of its history, and what is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What is allowed.
    pub state: TradingState,
    /// What was allowed before.
    pub previous: TradingState,
    /// Why, for people.
    pub reason: String,
    /// Who.
    pub actor: String,
    /// Since when this state holds; each change of the state has a later one.
    pub since: Timestamp,
    /// When somebody last said something about it.
    pub timestamp: Timestamp,
    /// Its number; each is one more than the one before. 0: nobody has touched the switch.
    pub seq: u64,
}

impl Position {
    /// Reads what was written.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Written {
            state: String,
            previous: String,
            reason: String,
            actor: String,
            since: String,
            timestamp: String,
            seq: u64,
        }
        let written: Written = serde_json::from_str(json).map_err(|error| error.to_string())?;
        Ok(Self {
            state: written.state.parse().map_err(|expected| format!("state {expected}"))?,
            previous: written.previous.parse().map_err(|expected| format!("previous {expected}"))?,
            reason: written.reason,
            actor: written.actor,
            since: Timestamp::parse(&written.since).map_err(|expected| format!("since {expected}"))?,
            timestamp: Timestamp::parse(&written.timestamp).map_err(|expected| format!("timestamp {expected}"))?,
            seq: written.seq,
        })
    }

    /// The id by which a repeated announcement is known.
    #[must_use]
    pub fn event_id(&self) -> String {
        format!("kill-switch-{}-{}", self.seq, self.timestamp)
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Position", 7)?;
        fields.serialize_field("state", self.state.as_str())?;
        fields.serialize_field("previous", self.previous.as_str())?;
        fields.serialize_field("reason", &self.reason)?;
        fields.serialize_field("actor", &self.actor)?;
        fields.serialize_field("since", &self.since.to_string())?;
        fields.serialize_field("timestamp", &self.timestamp.to_string())?;
        fields.serialize_field("seq", &self.seq)?;
        fields.end()
    }
}

/// The switch: its position, and the causes that it has answered already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    position: Position,
    /// Newest last.
    causes: VecDeque<String>,
}

impl Switch {
    /// A switch that nobody has touched yet: active.
    #[must_use]
    pub fn untouched(now: Timestamp) -> Self {
        let position = Position {
            state: TradingState::Active,
            previous: TradingState::Active,
            reason: "nobody has stopped trading".to_owned(),
            actor: NOBODY.to_owned(),
            since: now,
            timestamp: now,
            seq: 0,
        };
        Self { position, causes: VecDeque::new() }
    }

    /// A switch whose position is not known any more, for this `reason`: halted. `last` is the last position known of.
    #[must_use]
    pub fn lost(reason: String, last: Option<&Position>, now: Timestamp) -> Self {
        let mut switch = Self::untouched(now);
        if let Some(last) = last {
            switch.position = last.clone();
        }
        switch.moved(TradingState::Halted, reason, NOBODY.to_owned(), now)
    }

    /// A switch as it was written.
    #[must_use]
    pub fn restored(position: Position, causes: Vec<String>) -> Self {
        let skipped = causes.len().saturating_sub(MAX_CAUSES);
        Self { position, causes: causes.into_iter().skip(skipped).collect() }
    }

    /// How it stands.
    #[must_use]
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// The causes that have been answered, oldest first.
    pub fn causes(&self) -> impl Iterator<Item = &str> {
        self.causes.iter().map(String::as_str)
    }

    /// An operator's order, to any state. The same state again keeps its `since`; `None`: nothing is new at all.
    #[must_use]
    pub fn order(&self, to: TradingState, reason: &str, actor: &str, now: Timestamp) -> Option<Self> {
        let Position { state, reason: known, actor: by, .. } = &self.position;
        let is_new = (to, reason, actor) != (*state, known.as_str(), by.as_str());
        is_new.then(|| self.moved(to, reason.to_owned(), actor.to_owned(), now))
    }

    /// A `cause` demands `to`. `None` if trading is as strict already, or that cause was answered before; it is remembered
    /// either way, so that it does not trip again when an operator has re-armed the switch.
    #[must_use]
    pub fn trip(&mut self, to: TradingState, reason: &str, actor: &str, cause: &str, now: Timestamp) -> Option<Self> {
        if to == TradingState::Active {
            return None;
        }
        // a cause that demands more than before is another one
        let cause: String = to.as_str().chars().chain([':']).chain(cause.chars()).take(MAX_CAUSE).collect();
        if self.causes.contains(&cause) {
            return None;
        }
        if self.causes.len() == MAX_CAUSES {
            self.causes.pop_front();
        }
        self.causes.push_back(cause);
        let cut = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        (to > self.position.state).then(|| self.moved(to, cut(reason, MAX_REASON), cut(actor, MAX_NAME), now))
    }

    fn moved(&self, to: TradingState, reason: String, actor: String, now: Timestamp) -> Self {
        let before = &self.position;
        let timestamp = now.max(Timestamp::from_micros(before.timestamp.max(before.since).micros().saturating_add(1)));
        let position = Position {
            state: to,
            previous: before.state,
            reason,
            actor,
            since: if to == before.state { before.since } else { timestamp },
            timestamp,
            seq: before.seq + 1,
        };
        Self { position, causes: self.causes.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[derive(Debug, Clone)]
    enum Step {
        Order(TradingState, u8),
        Trip(TradingState, u8),
        Restart,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let state = || proptest::sample::select(TradingState::ALL.to_vec());
        let step = prop_oneof![
            (state(), 0_u8..3).prop_map(|(to, reason)| Step::Order(to, reason)),
            (state(), 0_u8..6).prop_map(|(to, cause)| Step::Trip(to, cause)),
            Just(Step::Restart),
        ];
        proptest::collection::vec(step, 0..40)
    }

    fn restarted(switch: &Switch) -> Switch {
        let json = serde_json::to_string(switch.position()).expect("json");
        let causes = switch.causes().map(str::to_owned).collect();
        Switch::restored(Position::parse(&json).expect("read back"), causes)
    }

    proptest! {
        #[test]
        fn only_an_operator_makes_it_freer_and_each_cause_trips_at_most_once(steps in steps(), clock in proptest::collection::vec(0_i64..5, 40)) {
            let mut switch = Switch::untouched(at(0));
            let mut answered = Vec::new();
            for (step, now) in steps.into_iter().zip(clock) {
                let before = switch.position().clone();
                match step {
                    Step::Order(to, reason) => {
                        if let Some(next) = switch.order(to, &format!("reason {reason}"), "alice", at(now)) {
                            switch = next;
                        }
                        prop_assert_eq!(switch.position().state, to);
                    }
                    Step::Trip(to, cause) => {
                        let next = switch.trip(to, "a reason", "risk_evaluator", &cause.to_string(), at(now));
                        let is_first = to != TradingState::Active && !answered.contains(&(to, cause));
                        prop_assert_eq!(next.is_some(), is_first && to > before.state);
                        answered.push((to, cause));
                        switch = next.unwrap_or(switch);
                        prop_assert!(switch.position().state >= before.state, "a trip never makes it freer");
                    }
                    Step::Restart => {
                        let again = restarted(&switch);
                        prop_assert_eq!(&again, &switch);
                        switch = again;
                    }
                }
                let after = switch.position();
                let is_moved = after.state != before.state;
                // by the number and the time of the order, whatever the clock does
                prop_assert_eq!(after.seq > before.seq, *after != before);
                prop_assert_eq!(after.since > before.since, is_moved);
                prop_assert_eq!(after.since == before.since, !is_moved);
                prop_assert!(!is_moved || after.previous == before.state);
            }
        }
    }

    #[test]
    fn the_same_state_again_keeps_its_since_and_the_same_order_again_is_nothing() {
        let halted = Switch::untouched(at(1)).order(TradingState::Halted, "fat finger", "alice", at(2)).expect("halted");
        assert_eq!(halted.order(TradingState::Halted, "fat finger", "alice", at(3)), None);
        let again = halted.order(TradingState::Halted, "still", "bob", at(3)).expect("another reason");
        assert_eq!((again.position().since, again.position().timestamp, again.position().seq), (at(2), at(3), 2));
        assert_eq!(again.position().previous, TradingState::Halted);
    }

    #[test]
    fn a_switch_whose_position_is_lost_is_halted_and_goes_on_counting() {
        let last = Switch::untouched(at(5)).order(TradingState::Active, "checked", "alice", at(6)).expect("noted");
        let lost = Switch::lost("it is gone".to_owned(), Some(last.position()), at(1));
        assert_eq!((lost.position().state, lost.position().seq), (TradingState::Halted, 2));
        assert!(lost.position().since > last.position().since);
    }

    #[test]
    fn memory_of_causes_is_bounded_and_so_is_each_of_them() {
        let mut switch = Switch::untouched(at(0));
        for n in 0..MAX_CAUSES + 10 {
            switch = switch
                .trip(TradingState::Reducing, &"r".repeat(9_000), "engine", &format!("{n}{}", "x".repeat(9_000)), at(1))
                .unwrap_or(switch);
        }
        assert_eq!(switch.causes().count(), MAX_CAUSES);
        assert!(switch.causes().all(|cause| cause.len() <= MAX_CAUSE) && switch.position().reason.len() == MAX_REASON);
    }

    #[test]
    fn what_was_not_written_by_us_is_no_position() {
        let json = serde_json::to_string(Switch::untouched(at(0)).position()).expect("json");
        assert!(Position::parse(&json).is_ok());
        for broken in [
            "",
            "null",
            "{}",
            &json[..json.len() - 1],
            &json.replace("active", "armed"),
            &json.replace("\"seq\":0", "\"seq\":-1"),
        ] {
            assert!(Position::parse(broken).is_err(), "{broken}");
        }
    }
}
