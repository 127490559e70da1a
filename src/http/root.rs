//! `GET /`: what this is; for people a page with how it is.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::health;
use super::preference::Preferences;
use super::state::State;
use crate::actors::risk_handle::RiskError;
use crate::domain::engine::State as EngineState;
use crate::domain::risk::status::LimitGauge;

/// What this is.
#[derive(Serialize, ToSchema)]
#[schema(as = Service, example = json!({"service": "plimsoll", "version": "0.1.0", "docs": "/docs"}))]
struct Body {
    /// Always `plimsoll`.
    service: &'static str,
    /// Its version.
    version: &'static str,
    /// Where the API is described.
    docs: &'static str,
}

/// The page has no script, and loads its style and its picture from here.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The route.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_service",
    tag = "service",
    summary = "What this is; for browsers a page with the state of the service",
    params(("Accept" = Option<String>, Header, description = "Who likes `text/html` best gets the page")),
    responses((status = 200, description = "The service", content((Body = "application/json"), (String = "text/html"))))
)]
pub async fn root(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.insert_header((header::VARY, "Accept")).insert_header((header::CACHE_CONTROL, "no-cache"));
    if !wants_page(request.headers()) {
        return answer.json(Body { service: "plimsoll", version: env!("CARGO_PKG_VERSION"), docs: "/docs" });
    }
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(page(state).await)
}

/// Whether a client names HTML, and likes it better than JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    let likes = Preferences::of(headers, header::ACCEPT);
    let Some(page) = likes.of_token("text/html").or_else(|| likes.of_token("text/*")) else { return false };
    let named = likes.of_token("application/json");
    let json = named.or_else(|| likes.of_token("application/*")).or_else(|| likes.of_token("*/*")).unwrap_or(0);
    page > json || (page == json && page > 0 && named.is_none())
}

async fn page(state: web::Data<State>) -> String {
    let switch = state.kill_switch.current().position.clone();
    let risk = state.risk.status(switch.clone()).await;
    let (status, health) = health::report(&state);
    let stats = state.history.ring().stats();
    let clients = state.sse.clients.load(Ordering::Relaxed);
    let published = state.bus.counters().published.load(Ordering::Relaxed);
    let cards = [
        card("Kill switch", switch.state.as_str(), tone(switch.state.as_str()), &format!("{} ({})", switch.reason, switch.actor)),
        engines_card(engines(&state)),
        card("Stream clients", &clients.to_string(), "", &format!("of at most {}", state.config.sse.max_clients)),
        card("Events since the start", &published.to_string(), "", &format!("{} in memory", stats.events)),
    ];
    format!(
        include_str!("../../assets/docs/root.html"),
        version = env!("CARGO_PKG_VERSION"),
        status = status,
        tone = tone(status),
        uptime = uptime(state.started.elapsed().as_secs()),
        cards = cards.concat(),
        limits = match &risk {
            Ok(status) if !status.is_rebuilding() => limits(&status.limit_gauges()),
            Ok(_) | Err(RiskError::Rebuilding) => no_limits("not known yet: the day is being read from the journal"),
            Err(error) => no_limits(&format!("not known: {error}")),
        },
        components = components(&health),
    )
}

/// How many engines there are, run, and are in trouble.
#[derive(Debug, Clone, Copy)]
struct Engines {
    known: usize,
    running: usize,
    troubled: usize,
}

/// The engines, once all that the journal tells of them was taken.
fn engines(state: &State) -> Option<Engines> {
    let model = state.engines.engines();
    if !model.is_rebuilt.load(Ordering::Acquire) {
        return None;
    }
    let (now, stale_after) = (state.clock.now(), state.config.engines.stale_after);
    let mut counts = Engines { known: 0, running: 0, troubled: 0 };
    for engine in &model.engines {
        counts.known += 1;
        match engine.state(now, stale_after) {
            EngineState::Running => counts.running += 1,
            EngineState::Stale | EngineState::Error => counts.troubled += 1,
            EngineState::Starting | EngineState::Degraded | EngineState::Stopped => {}
        }
    }
    Some(counts)
}

fn engines_card(engines: Option<Engines>) -> String {
    const TITLE: &str = "Engines running";
    let Some(Engines { known, running, troubled }) = engines else {
        return card(TITLE, "not known yet", "fair", "they are being read from the journal");
    };
    let tone = if troubled > 0 { "bad" } else { "good" };
    card(TITLE, &running.to_string(), tone, &format!("{known} known, {troubled} stale or failed"))
}

fn card(title: &str, figure: &str, tone: &str, note: &str) -> String {
    let (figure, note) = (escaped(figure), escaped(note));
    format!("<section><h2>{title}</h2><p class=\"figure {tone}\">{figure}</p><p class=\"note\">{note}</p></section>\n")
}

/// In place of the limits why they are not told.
fn no_limits(reason: &str) -> String {
    format!("<tr><td colspan=\"4\">{}</td></tr>", escaped(reason))
}

/// How each limit stands; of a limit for each symbol the symbol which is nearest to it.
fn limits(limits: &[LimitGauge]) -> String {
    let mut rows = String::new();
    for limit in limits {
        let used = limit.utilization().and_then(|share| Some(share.checked_mul(Decimal::ONE_HUNDRED)?.round().normalize()));
        let meter = used.map_or_else(String::new, |used| {
            let shown = used.clamp(Decimal::ZERO, Decimal::ONE_HUNDRED);
            format!("<meter min=\"0\" max=\"100\" low=\"80\" high=\"99\" optimum=\"0\" value=\"{shown}\"></meter> {used} %")
        });
        let name = limit.limit.replace('_', " ");
        let symbol = limit.symbol.as_deref().map(escaped).unwrap_or_default();
        let current = limit.current.map_or("?".to_owned(), |current| current.normalize().to_string());
        let (value, standing) = (limit.value.normalize(), limit.standing.as_str());
        let tone = tone(standing);
        // a String takes every write
        let _ = writeln!(
            rows,
            "<tr><td>{name} {symbol}</td><td class=\"number\">{current} / {value}</td><td>{meter}</td><td class=\"{tone}\">{standing}</td></tr>",
        );
    }
    rows
}

fn components(health: &Value) -> String {
    let mut rows = String::new();
    for (name, component) in health.get("components").and_then(Value::as_object).into_iter().flatten() {
        let status = component.get("status").and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(rows, "<tr><td>{}</td><td class=\"{}\">{status}</td></tr>", name.replace('_', " "), tone(status));
    }
    rows
}

/// The colour of a word.
fn tone(word: &str) -> &'static str {
    match word {
        "ok" | "active" => "good",
        "degraded" | "warning" | "reducing" | "unknown" => "fair",
        _ => "bad",
    }
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// `text` as it may stand in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::risk::status::Standing;

    fn wants(accept: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        wants_page(&headers)
    }

    #[test]
    fn browsers_get_the_page_and_programs_the_json() {
        assert!(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(wants("text/html"));
        assert!(wants("text/html, */*"));
        for program in
            ["*/*", "application/json", "text/html;q=0.5, application/json", "text/html, application/json", "image/png", ""]
        {
            assert!(!wants(program), "{program:?}");
        }
        assert!(!wants("text/html;q=0.1, */*"));
        assert!(!wants("text/html;q=0"));
        assert!(!wants_page(&HeaderMap::new()));
    }

    #[test]
    fn engines_that_are_not_known_yet_are_not_none() {
        let page = engines_card(None);
        assert!(page.contains("not known yet") && !page.contains("good") && !page.contains('0'), "{page}");
        let page = engines_card(Some(Engines { known: 3, running: 2, troubled: 1 }));
        assert!(page.contains("figure bad\">2<") && page.contains("3 known, 1 stale or failed"), "{page}");
    }

    #[test]
    fn a_limit_is_told_with_its_symbol_and_a_figure_that_is_missing_is_no_zero() {
        let gauge = LimitGauge {
            limit: "max_trades_per_symbol_per_day",
            symbol: Some("<b>".into()),
            unit: "trades",
            value: Decimal::new(50, 1),
            current: Some(Decimal::from(6)),
            standing: Standing::Breached,
        };
        let row = limits(std::slice::from_ref(&gauge));
        for text in ["per day &lt;b&gt;<", ">6 / 5<", "value=\"100\"", "120 %", "class=\"bad\">breached<"] {
            assert!(row.contains(text), "{text} in {row}");
        }
        let row = limits(&[LimitGauge { symbol: None, current: None, standing: Standing::Unknown, ..gauge }]);
        assert!(row.contains(">? / 5<") && !row.contains("<meter") && row.contains("class=\"fair\">unknown<"), "{row}");
    }

    #[test]
    fn what_others_wrote_is_no_markup() {
        assert_eq!(escaped("<b a='1' c=\"2\">&"), "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;");
    }

    #[test]
    fn an_uptime_is_told_in_its_two_largest_units() {
        let told = [59, 60, 3_660, 90_000].map(uptime);
        assert_eq!(told, ["59 s", "1 min", "1 h 1 min", "1 d 1 h"]);
    }
}
