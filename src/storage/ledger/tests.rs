//! The embedded ledger against a model: plain lists of trades, signals and snapshots.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::NaiveTime;
use chrono_tz::{America, Asia, Europe, Tz};
use proptest::prelude::*;
use rusqlite::OpenFlags;
use rust_decimal::Decimal;

use super::sqlite::{SqliteLedger, open};
use super::sqlite_reader::SqliteLedgerReader;
use super::*;
use crate::domain::analytics::entry::Kind;
use crate::domain::analytics::signal::Signal;
use crate::domain::analytics::sum::Sum;
use crate::domain::analytics::trade::{BREAKOUT, Trade, WrittenTime};
use crate::domain::risk::session::Session;
use crate::storage::sqlite::Place;

const MINUTE: i64 = 60_000_000;

fn memory() -> Place {
    Place::Memory(format!("ledger-test-{}", fastrand::u64(..)))
}

pub(super) fn kolkata() -> Session {
    Session::new(Asia::Kolkata, NaiveTime::MIN)
}

pub(super) fn opened(place: &Place, session: Session) -> SqliteLedger {
    open(place, session, Timestamp::from_micros(7)).expect("the ledger opens").ledger
}

pub(super) fn reader(place: &Place) -> SqliteLedgerReader {
    SqliteLedgerReader::open(place, Duration::from_secs(5)).expect("a reader opens")
}

fn at(micros: i64) -> WrittenTime {
    let at = Timestamp::from_micros(micros);
    WrittenTime { text: at.to_string(), at }
}

pub(super) fn trade(symbol: &str, trade_type: &str, pnl: Option<i64>, exit: i64) -> Trade {
    Trade {
        symbol: symbol.into(),
        trade_type: trade_type.into(),
        direction: None,
        entry_price: Some(Decimal::from(100)),
        exit_price: Some(Decimal::from(101)),
        quantity: Some(Decimal::ONE),
        pnl: pnl.map(|pnl| Decimal::new(pnl, 2)),
        slippage: None,
        bar_strength: None,
        exit_reason: None,
        entry: at(exit - MINUTE),
        exit: at(exit),
    }
}

fn entry(id: u64, profile_id: Option<i64>, micros: i64, kind: Kind) -> Entry {
    Entry { id: EventId::from_u64(id), profile_id, at: Timestamp::from_micros(micros), kind }
}

pub(super) fn closed(id: u64, trade: Trade) -> Entry {
    entry(id, Some(1), trade.exit.at.micros(), Kind::Trade(Box::new(trade)))
}

fn signal(id: u64, symbol: &str, price: i64, micros: i64) -> Entry {
    let signal = Signal {
        symbol: symbol.into(),
        direction: "upward".into(),
        bar_strength: None,
        close_price: Some(Decimal::from(price)),
        candle_size: None,
        volume: None,
    };
    entry(id, Some(1), micros, Kind::Signal(signal))
}

fn snapshot(id: u64, profile_id: Option<i64>, equity: Option<i64>, micros: i64) -> Entry {
    let account_equity = equity.map(Decimal::from);
    let snapshot = Equity {
        account_equity,
        unrealized_pnl: None,
        realized_pnl: Some(Decimal::ONE),
        margin_used: None,
        margin_available: None,
        open_positions: None,
    };
    entry(id, profile_id, micros, Kind::Equity(snapshot))
}

/// Before every time that a test uses, and behind it.
pub(super) fn always() -> Span {
    Span { start: Timestamp::from_micros(i64::MIN), end: Timestamp::from_micros(i64::MAX) }
}

/// The trades of `profile_id` in `scope` as a plain list tells them.
fn naive(entries: &[Entry], profile_id: i64, span: Span, scope: Scope) -> Traded {
    let mine: Vec<&Entry> = entries.iter().filter(|entry| entry.profile_id == Some(profile_id)).collect();
    let signal_price = |symbol: &str, time: Timestamp| {
        let signals = mine.iter().filter_map(|entry| match &entry.kind {
            Kind::Signal(signal) if signal.symbol == symbol && entry.at <= time => {
                Some(((entry.at, entry.id), signal.close_price))
            }
            _ => None,
        });
        signals.max_by_key(|(place, _)| *place).and_then(|(_, price)| price)
    };
    let mut trades: Vec<_> = mine
        .iter()
        .filter_map(|entry| match &entry.kind {
            Kind::Trade(trade) => Some(((trade.exit.at, entry.id), trade)),
            _ => None,
        })
        .filter(|((at, _), trade)| span.start <= *at && *at < span.end && (scope == Scope::All || trade.trade_type == BREAKOUT))
        .collect();
    trades.sort_by_key(|(place, _)| *place);
    let mut traded = Traded::default();
    for (_, trade) in trades {
        let against = || {
            let signal = signal_price(&trade.symbol, trade.entry.at)?;
            trade.side().slippage(signal, trade.entry_price?)
        };
        let slippage = trade.slippage.or_else(against);
        traded.tally = traded.tally.then(Tally::of(trade.pnl.map(Sum::of), slippage.map(Sum::of)));
    }
    if scope == Scope::Breakout {
        let is_signal = |entry: &&&Entry| matches!(entry.kind, Kind::Signal(_)) && span.start <= entry.at && entry.at < span.end;
        traded.signals = mine.iter().filter(is_signal).count() as u64;
    }
    traded
}

fn naive_course(entries: &[Entry], profile_id: i64, end: Timestamp) -> EquityKnown {
    let mut mine: Vec<_> = entries
        .iter()
        .filter(|entry| entry.profile_id == Some(profile_id) && entry.at < end)
        .filter_map(|entry| match &entry.kind {
            Kind::Equity(snapshot) => Some((entry.at, entry.id, *snapshot)),
            _ => None,
        })
        .collect();
    mine.sort_by_key(|(at, id, _)| (*at, *id));
    let mut course = None::<Course>;
    for value in mine.iter().filter_map(|(_, _, snapshot)| snapshot.account_equity) {
        let next = Course::at(Sum::of(value));
        course = Some(course.map_or(next, |course| course.then(next)));
    }
    EquityKnown { latest: mine.last().map(|(at, _, snapshot)| (*at, *snapshot)), course }
}

fn sessions() -> impl Strategy<Value = Session> {
    let zones = vec![Asia::Kolkata, America::New_York, Europe::London, Tz::Australia__Lord_Howe, Tz::UTC];
    let rolls = vec![(0, 0), (9, 15), (17, 30), (1, 30)];
    (proptest::sample::select(zones), proptest::sample::select(rolls))
        .prop_map(|(zone, (hour, minute))| Session::new(zone, NaiveTime::from_hms_opt(hour, minute, 0).expect("a time")))
}

/// Where times lie, in seconds: three days in which clocks are changed in London (2025-03-30) or New York (2025-11-02).
fn season() -> impl Strategy<Value = i64> {
    proptest::sample::select(vec![1_743_206_400_i64, 1_761_955_200])
}

fn kinds() -> impl Strategy<Value = (Option<i64>, i64, Kind)> {
    let profile = proptest::option::weighted(0.9, 1_i64..3);
    // few distinct minutes, so that there are ties
    let minute = 0_i64..4_320;
    let symbol = proptest::sample::select(vec!["A", "B"]);
    let kind = prop_oneof![
        5 => (symbol.clone(), any::<bool>(), proptest::option::weighted(0.9, -500_i64..500), proptest::option::weighted(0.3, -9_i64..9),
            any::<bool>(), 0_i64..600)
            .prop_map(|(symbol, is_breakout, pnl, slippage, is_short, held)| {
                let mut trade = trade(symbol, if is_breakout { BREAKOUT } else { "stop_loss" }, pnl, 0);
                trade.slippage = slippage.map(Decimal::from);
                trade.direction = is_short.then(|| "downward".into());
                trade.entry = at(-held * MINUTE);
                Kind::Trade(Box::new(trade))
            }),
        2 => (symbol, 90_i64..110).prop_map(|(symbol, price)| signal(0, symbol, price, 0).kind),
        3 => proptest::option::weighted(0.9, 0_i64..1_000).prop_map(|equity| snapshot(0, None, equity, 0).kind),
    ];
    (profile, minute, kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn aggregates_equal_a_recomputation_from_the_raw_trades_in_whatever_order_they_come(
        drawn in proptest::collection::vec(kinds(), 1..60), session in sessions(), season in season(),
        batch in 1_usize..20, again in any::<bool>(),
    ) {
        let mut entries = Vec::new();
        for ((profile_id, minute, mut kind), id) in drawn.into_iter().zip(1..) {
            let micros = season * 1_000_000 + minute * MINUTE;
            if let Kind::Trade(trade) = &mut kind {
                (trade.entry, trade.exit) = (at(micros + trade.entry.at.micros()), at(micros));
            }
            entries.push(entry(id, profile_id, micros, kind));
        }
        let place = memory();
        let mut ledger = opened(&place, session);
        for part in entries.chunks(batch) {
            let mut written = part.to_vec();
            if again {
                // the same events once more, in the same transaction and behind it
                written.extend(part.to_vec());
                ledger.write(part, EventId::ZERO).expect("written");
            }
            ledger.write(&written, written.last().expect("one").id).expect("written");
        }
        let mut read = reader(&place);
        let first = session.date_of(Timestamp::from_micros(season * 1_000_000)).pred_opt().expect("a day");
        let days: Vec<_> = first.iter_days().take(6).map(|date| session.day(date)).collect();
        for profile_id in 1..3 {
            for scope in [Scope::All, Scope::Breakout] {
                for span in days.iter().map(|day| Span { start: day.start, end: day.end }).chain([always()]) {
                    let told = read.traded(profile_id, span, scope).expect("read");
                    prop_assert_eq!(told, naive(&entries, profile_id, span, scope), "{:?} {:?}", scope, span);
                }
            }
            for end in days.iter().map(|day| day.end) {
                prop_assert_eq!(read.equity(profile_id, end).expect("read"), naive_course(&entries, profile_id, end));
            }
        }
        // the hours of a day are the day
        let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY).expect("connected");
        let sums = |period: &str| -> BTreeMap<(i64, String), (i64, i64)> {
            let sql = "select profile_id, scope, sum(trades), sum(signals) from dd_telemetry_metrics where period = ? group by 1, 2";
            let mut statement = connection.prepare(sql).expect("prepared");
            let rows = statement.query_map([period], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))));
            rows.expect("read").map(|row| row.expect("a row")).collect()
        };
        prop_assert_eq!(sums("hour"), sums("day"));
    }
}

#[test]
fn a_restart_goes_on_behind_the_cursor_and_what_is_written_twice_is_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::File(folder.path().join("ledger").join("ledger.db"));
    let mut ledger = opened(&place, kolkata());
    assert_eq!(ledger.cursor(), EventId::ZERO);
    ledger.write(&[closed(5, trade("A", BREAKOUT, Some(100), 0))], EventId::from_u64(9)).expect("written");
    drop(ledger);
    let mut ledger = opened(&place, kolkata());
    assert_eq!(ledger.cursor(), EventId::from_u64(9));
    let again = [closed(5, trade("A", BREAKOUT, Some(100), 0)), closed(11, trade("A", BREAKOUT, Some(-50), 1))];
    ledger.write(&again, EventId::from_u64(11)).expect("written");
    let tally = reader(&place).traded(1, always(), Scope::All).expect("read").tally;
    assert_eq!((tally.trades, tally.wins, tally.losses), (2, 1, 1));
    assert_eq!(tally.pnl().map(|pnl| pnl.to_string()).as_deref(), Some("0.5"));
}

#[test]
fn trades_are_listed_latest_first_within_their_span_symbol_and_limit() {
    let place = memory();
    let long = "NIFTY25NOV24650CE-WEEKLY-OPTION";
    let entries = [
        closed(1, trade("A", BREAKOUT, Some(1), 30)),
        closed(2, trade(long, "stop_loss", Some(2), 10)),
        closed(3, trade("A", "equity_close", None, 20)),
        closed(4, trade("A", BREAKOUT, Some(4), 20)),
        entry(5, None, 20, closed(5, trade("A", BREAKOUT, Some(5), 20)).kind),
    ];
    opened(&place, kolkata());
    let mut ledger = opened(&place, kolkata());
    ledger.write(&entries, EventId::from_u64(5)).expect("written");
    let mut read = reader(&place);
    let mut list = |start: i64, end: i64, symbol: Option<&str>, limit: usize| -> Vec<u64> {
        let span = Span { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) };
        read.trades(1, span, symbol, limit).expect("read").into_iter().map(|trade| trade.id.get()).collect()
    };
    assert_eq!(list(0, 100, None, 10), [1, 4, 3, 2]);
    assert_eq!(list(10, 30, None, 10), [4, 3, 2], "the end is not within");
    assert_eq!(list(0, 100, Some("A"), 2), [1, 4]);
    assert_eq!(list(0, 100, Some(long), 2), [2]);
    assert_eq!(list(0, 100, Some("a"), 2), [0; 0]);
}

#[test]
fn a_fill_is_measured_against_the_latest_signal_before_it_however_late_that_comes() {
    let place = memory();
    let mut ledger = opened(&place, kolkata());
    let slippage = |place: &Place| {
        let tally = reader(place).traded(1, always(), Scope::Breakout).expect("read").tally;
        tally.avg_slippage().map(|slippage| slippage.to_string())
    };
    // entered at minute 9, at 100
    ledger.write(&[closed(1, trade("A", BREAKOUT, Some(1), 10 * MINUTE))], EventId::ZERO).expect("written");
    assert_eq!(slippage(&place), None, "no signal is known");
    ledger.write(&[signal(2, "A", 97, 5 * MINUTE)], EventId::ZERO).expect("written");
    assert_eq!(slippage(&place).as_deref(), Some("3"));
    ledger.write(&[signal(3, "A", 50, 4 * MINUTE), signal(4, "A", 60, 11 * MINUTE)], EventId::ZERO).expect("written");
    assert_eq!(slippage(&place).as_deref(), Some("3"), "neither an older one nor a later one counts");
    ledger.write(&[signal(5, "A", 101, 9 * MINUTE), signal(6, "B", 1, 9 * MINUTE)], EventId::ZERO).expect("written");
    assert_eq!(slippage(&place).as_deref(), Some("-1"), "a better fill, by a signal of that very time");
    let mut given = trade("A", BREAKOUT, Some(1), 10 * MINUTE);
    given.slippage = Some(Decimal::from(7));
    ledger.write(&[closed(7, given)], EventId::ZERO).expect("written");
    assert_eq!(slippage(&place).as_deref(), Some("3"), "(7 - 1) / 2");
}

#[test]
fn another_trading_day_tells_local_times_and_all_aggregates_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::File(folder.path().join("ledger.db"));
    let texts = ["2025-11-02T23:30:00", "2025-11-03 00:30:00", "2025-11-03T08:00:00", "2025-11-03T09:00:00+05:30"];
    let entries = |session: Session| -> Vec<Entry> {
        let times = texts.into_iter().zip([Some(300), Some(-500), Some(100), None]).zip(1..);
        let mut entries: Vec<Entry> = times
            .map(|((text, pnl), id)| {
                let exit = WrittenTime::read(text, &session, Timestamp::from_micros(0));
                let mut trade = trade("A", BREAKOUT, pnl, exit.at.micros());
                (trade.exit, trade.entry) = (exit.clone(), exit);
                entry(id, Some(1), 0, Kind::Trade(Box::new(trade)))
            })
            .collect();
        let night = 1_762_101_000_000_000;
        entries.extend([
            signal(8, "A", 90, night),
            snapshot(9, Some(1), Some(5), night),
            snapshot(10, Some(1), Some(3), night + 1),
        ]);
        entries
    };
    let chicago = Session::new(America::Chicago, NaiveTime::from_hms_opt(17, 0, 0).expect("a time"));
    let mut ledger = opened(&place, kolkata());
    ledger.write(&entries(kolkata()), EventId::from_u64(10)).expect("written");
    drop(ledger);
    for session in [chicago, kolkata(), chicago] {
        let again = opened(&place, session);
        assert_eq!((again.cursor(), again.folded()), (EventId::ZERO, EventId::from_u64(10)), "the journal is folded once more");
        let (expected, mut read) = (entries(session), reader(&place));
        let first = "2025-11-01".parse::<chrono::NaiveDate>().expect("a date");
        for day in first.iter_days().take(5).map(|date| session.day(date)) {
            let span = Span { start: day.start, end: day.end };
            for scope in [Scope::All, Scope::Breakout] {
                assert_eq!(read.traded(1, span, scope), Ok(naive(&expected, 1, span, scope)), "{session} {}", day.date);
            }
            assert_eq!(read.equity(1, day.end), Ok(naive_course(&expected, 1, day.end)), "{session} {}", day.date);
        }
    }
}

#[test]
fn trades_of_a_symbol_are_found_by_their_own_index() {
    let place = memory();
    let _ledger = opened(&place, kolkata());
    let connection = place.connect(OpenFlags::SQLITE_OPEN_READ_ONLY).expect("connected");
    let plan = |symbol: bool| -> String {
        let sql = format!("explain query plan {}", trades::list_sql(symbol, 100));
        let mut statement = connection.prepare(&sql).expect("prepared");
        let values = if symbol { vec!["1", "2", "3", "4"] } else { vec!["1", "2", "3"] };
        statement.query_row(rusqlite::params_from_iter(values), |row| row.get(3)).expect("a plan")
    };
    assert!(plan(true).contains("dd_trades_by_symbol (profile_id=? AND symbol=?"), "{}", plan(true));
    assert!(plan(false).contains("dd_trades_by_exit (profile_id=? AND exit_at>"), "{}", plan(false));
}
