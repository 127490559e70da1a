use proptest::prelude::*;

use super::*;
use crate::domain::event::{Draft, Event, Header};

const BAND: Band =
    Band { warn_at_pct: Decimal::from_parts(80, 0, 0, false, 0), calm_below_pct: Decimal::from_parts(75, 0, 0, false, 0) };

fn loss() -> Key {
    Key { kind: LimitKind::MaxDailyLoss, symbol: None }
}

fn moment(n: u64) -> Moment {
    let cause = EventId::from_u64(n << 20);
    Moment { at: Timestamp::from_micros(i64::try_from(n * 1_000).expect("small")), cause }
}

/// What a run of figures against a limit of 1000 gives, in words.
fn run(figures: &[i64]) -> Vec<String> {
    let mut monitor = Monitor::new(BAND);
    let mut found = Vec::new();
    for (n, figure) in figures.iter().enumerate() {
        let finding = monitor.assess(loss(), Decimal::from(*figure), Decimal::from(1_000), moment(n as u64));
        found.extend(finding.map(|finding| match finding {
            Finding::Raised(breach) => format!("raised {} since {}", breach.current, breach.since.at.millis()),
            Finding::Updated(breach) => format!("updated {} since {}", breach.current, breach.since.at.millis()),
            Finding::Cleared(breach, _) => format!("cleared {} since {}", breach.current, breach.since.at.millis()),
            Finding::Warned(breach) => format!("warned {}", breach.current),
        }));
    }
    found
}

#[test]
fn a_breach_is_raised_grows_by_tenths_of_the_limit_and_is_cleared_with_the_same_since() {
    assert_eq!(
        run(&[0, 1_000, 1_001, 1_050, 1_099, 1_100, 1_150, 1_090, 1_110, 2_000, 1_000]),
        ["warned 1000", "raised 1001 since 2", "updated 1100 since 2", "updated 2000 since 2", "cleared 1000 since 2"]
    );
}

#[test]
fn a_warning_comes_once_an_excursion_and_not_on_the_way_back_from_a_breach() {
    assert_eq!(run(&[799, 800, 790, 810, 760, 900]), ["warned 800"]);
    assert_eq!(run(&[800, 749, 800]), ["warned 800", "warned 800"]);
    assert_eq!(run(&[2_000, 900, 740, 850]), ["raised 2000 since 0", "cleared 900 since 0", "warned 850"]);
}

#[test]
fn the_roll_of_the_day_ends_every_breach() {
    let mut monitor = Monitor::new(BAND);
    monitor.assess(loss(), Decimal::from(5), Decimal::ONE, moment(1));
    let ended = monitor.roll(moment(9).at);
    assert!(matches!(ended.as_slice(), [Finding::Cleared(breach, Ending::DayRolled)] if breach.since == moment(1)));
    assert_eq!(monitor.breaches().count() + monitor.excursions().count(), 0);
}

fn event(finding: &Finding, id: u64) -> Event {
    let told = finding.announcement();
    assert!(told.event_id.len() <= 128, "{}", told.event_id);
    let header = Header {
        event_type: told.event_type.into(),
        timestamp: Timestamp::from_micros(0),
        source: Some("plimsoll".into()),
        severity: Some(told.severity),
        profile_id: None,
        event_id: Some(told.event_id.into()),
        symbol: told.symbol,
        strategy: None,
    };
    let event = Draft::new(header.clone(), &told.payload).stamp(EventId::from_u64(id));
    // as the journal gives it back
    Event::restore(event.id(), Header { event_id: None, ..header }, event.tail().as_bytes())
}

proptest! {
    #[test]
    fn after_a_restart_exactly_what_was_not_told_yet_is_told(
        figures in proptest::collection::vec((0_usize..3, 0_i64..2_500), 1..40), cut in 0_usize..40,
    ) {
        let keys: Vec<Key> = ["A:B", "é", ""].iter().map(|symbol| Key {
            kind: LimitKind::MaxTradesPerSymbolPerDay, symbol: Some(symbol.repeat(60).into()),
        }).collect();
        let limit = Decimal::from(1_000);
        let mut live = Monitor::new(BAND);
        let mut told = Vec::new();
        for (n, (key, figure)) in figures.iter().enumerate() {
            told.extend(live.assess(keys[*key].clone(), Decimal::from(*figure), limit, moment(n as u64)));
        }
        // the last of them may not have reached the journal
        let journalled = told.len().saturating_sub(cut);
        let mut announced = Announced::default();
        told.iter().take(journalled).for_each(|finding| announced.take(&event(finding, 1)));
        let mut replayed = Monitor::new(BAND);
        for (n, (key, figure)) in figures.iter().enumerate() {
            replayed.assess(keys[*key].clone(), Decimal::from(*figure), limit, moment(n as u64));
        }
        let now = replayed.reconcile(announced.clone(), true, moment(0).at, moment(99).at);
        if cut == 0 {
            prop_assert_eq!(&now, &Vec::new(), "everything was told");
        }
        let view = |monitor: &Monitor| monitor.breaches().map(|breach| (breach.key.clone(), breach.current)).collect::<Vec<_>>();
        prop_assert_eq!(view(&live), view(&replayed));
        now.iter().for_each(|finding| announced.take(&event(finding, 2)));
        let open: Vec<_> = announced.open.into_iter().map(|(key, breach)| (key, breach.since)).collect();
        let expected: Vec<_> = replayed.breaches().map(|breach| (breach.key.clone(), breach.since)).collect();
        prop_assert_eq!(open, expected, "what was told in all is what is so");
    }
}
