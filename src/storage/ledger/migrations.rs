//! The ledger's schema, one step a version. Steps are only ever added.
//!
//! One schema for every database: types are `varchar(n)`, `bigint` (times are microseconds since 1970, UTC) and one
//! `mediumblob` (the samples of latencies), decimals are text with all their digits, and each statement stands alone. What two
//! databases spell differently is in [`super::dialect`].

/// What is noted of the ledger itself: `schema`, `session`, `cursor` (the last event that was folded), `counted` (the last that
/// ever was), `missing_until` and `skipped` (see [`super::Missing`]).
pub(super) const META: &str =
    "create table if not exists dd_meta(name varchar(64) not null primary key, value varchar(255) not null)";

/// The steps, each of them statements that are run in one transaction.
pub(super) const STEPS: &[&[&str]] = &[TRADES, ORDERS, BY_TIME];

/// Closed trades, breakout signals and equity, with their aggregates.
///
/// - `dd_trade_performance`: one row a closed trade. `entry_time`, `exit_time` are as the engine wrote them, `entry_at`,
///   `exit_at` the instants; `signal_slippage` is the fill against the signal's price, where the trade did not give its own.
/// - `dd_telemetry_metrics`: one row a profile, `period` (`hour`, `day`), bucket and `scope` (`all` trades, or `breakout`):
///   hours of the trading day, counted from its start, and trading days. `last_at`, `last_id`: the last trade in it.
/// - `dd_equity_metrics`: the same for the course of equity.
const TRADES: &[&str] = &[
    "create table dd_trade_performance(
        id bigint not null primary key, profile_id bigint, event_at bigint not null, symbol varchar(128) not null,
        trade_type varchar(32) not null, direction varchar(32), entry_price varchar(40), exit_price varchar(40),
        quantity varchar(40), pnl varchar(40), slippage varchar(40), signal_slippage varchar(40), bar_strength varchar(40),
        exit_reason varchar(1024), entry_time varchar(64) not null, exit_time varchar(64) not null,
        entry_at bigint not null, exit_at bigint not null)",
    "create index dd_trades_by_exit on dd_trade_performance(profile_id, exit_at, id)",
    "create index dd_trades_by_symbol on dd_trade_performance(profile_id, symbol, exit_at, id)",
    "create index dd_trades_by_entry on dd_trade_performance(profile_id, symbol, entry_at)",
    "create table dd_breakout_signals(
        id bigint not null primary key, profile_id bigint, event_at bigint not null, symbol varchar(128) not null,
        direction varchar(32) not null, bar_strength varchar(40), close_price varchar(40), candle_size varchar(40),
        volume varchar(40))",
    "create index dd_signals_by_symbol on dd_breakout_signals(profile_id, symbol, event_at, id)",
    "create table dd_telemetry_metrics(
        profile_id bigint not null, period varchar(8) not null, bucket bigint not null, scope varchar(16) not null,
        signals bigint not null, trades bigint not null, wins bigint not null, losses bigint not null, ties bigint not null,
        gross_profit varchar(64) not null, gross_loss varchar(64) not null, largest_win varchar(64),
        largest_loss varchar(64), slippages bigint not null, slippage varchar(64) not null, pnl varchar(64) not null,
        pnl_high varchar(64) not null, pnl_low varchar(64) not null, fall varchar(64) not null,
        fall_from varchar(64) not null, last_at bigint not null, last_id bigint not null,
        primary key(profile_id, scope, period, bucket))",
    "create table dd_equity_snapshots(
        id bigint not null primary key, profile_id bigint, event_at bigint not null, account_equity varchar(40),
        unrealized_pnl varchar(40), realized_pnl varchar(40), margin_used varchar(40), margin_available varchar(40),
        open_positions varchar(40))",
    "create index dd_equity_by_time on dd_equity_snapshots(profile_id, event_at, id)",
    "create table dd_equity_metrics(
        profile_id bigint not null, period varchar(8) not null, bucket bigint not null, first_value varchar(64) not null,
        last_value varchar(64) not null, high varchar(64) not null, low varchar(64) not null, fall varchar(64) not null,
        fall_from varchar(64) not null, last_at bigint not null, last_id bigint not null,
        primary key(profile_id, period, bucket))",
];

/// Orders, latencies and the health of scripts.
///
/// - `dd_orders`: one row an order and trading day of its reports: the last status of that day, when it was first called a limit
///   order and last a market order. `day` and the like are the first instants of trading days.
/// - `dd_order_metrics`: how the counts of the orders that belong to `first_day` change on `day`; what was known at the end of
///   a day is the sum up to it.
/// - `dd_api_latency`: samples by script and `period` (`slice`, `day`), as `domain/analytics/latency` encodes them; the script
///   with the empty key is all of a profile's.
/// - `dd_scripts`: the scripts of a profile, and when they were first and last heard of.
/// - `dd_system_health`: one row a script and trading day: the last report of that day.
///
/// The last statement lets a ledger that was made before this step fold the journal once more.
const ORDERS: &[&str] = &[
    "create table dd_orders(
        profile_id bigint not null, order_key varchar(255) not null, day bigint not null, status varchar(32) not null,
        event_at bigint not null, event_id bigint not null, limit_at bigint, limit_id bigint, market_at bigint,
        market_id bigint, is_converted bigint not null, primary key(profile_id, order_key, day))",
    "create table dd_order_metrics(
        profile_id bigint not null, first_day bigint not null, day bigint not null, total_orders bigint not null,
        open_orders bigint not null, partially_filled bigint not null, filled_orders bigint not null,
        canceled_orders bigint not null, rejected_orders bigint not null, expired_orders bigint not null,
        limit_orders bigint not null, converted_orders bigint not null, primary key(profile_id, first_day, day))",
    "create table dd_api_latency(
        profile_id bigint not null, script_key varchar(255) not null, period varchar(8) not null, bucket bigint not null,
        samples mediumblob not null, last_at bigint not null, primary key(profile_id, script_key, period, bucket))",
    "create index dd_latency_by_time on dd_api_latency(profile_id, period, bucket)",
    "create table dd_scripts(
        profile_id bigint not null, script_key varchar(255) not null, script_name varchar(1024) not null,
        first_at bigint not null, last_at bigint not null, primary key(profile_id, script_key))",
    "create index dd_scripts_by_time on dd_scripts(profile_id, last_at)",
    "create table dd_system_health(
        profile_id bigint not null, script_key varchar(255) not null, day bigint not null, event_at bigint not null,
        event_id bigint not null, status varchar(32) not null, rate_limit_remaining varchar(40), rate_limit_limit varchar(40),
        api_error_count varchar(40), cpu_usage_pct varchar(40), memory_usage_mb varchar(40), error_count varchar(40),
        warning_count varchar(40), primary key(profile_id, script_key, day))",
    "delete from dd_meta where name = 'cursor'",
];

/// Days of latencies and reports of health are found by the time of the last event in them, whatever the trading day was when
/// they were written. `day` of `dd_orders` and `dd_system_health`, and `bucket` of a day's latencies, are from here on the
/// first instant of the trading day, and in their microseconds how often the trading day was changed before.
const BY_TIME: &[&str] = &[
    "create index dd_latency_by_last on dd_api_latency(profile_id, script_key, period, last_at)",
    "create index dd_health_by_time on dd_system_health(profile_id, script_key, event_at, event_id)",
];
