//! The metrics registry: the predefined metrics, and what engines post.

use std::borrow::Cow;

use prometheus::proto::MetricType;

use super::page::Page;
use crate::domain::metrics::name::Kind;
use crate::domain::metrics::registry::{Registry, Value};

/// Every metric is to have a help text; this one when its engine gave none.
const NO_HELP: &str = "Posted by an engine, without a help text.";

/// Adds all of `registry`; a metric without series is left out.
pub(super) fn add(page: &mut Page, registry: &Registry) {
    for metric in registry.metrics() {
        let name = metric.name.in_prometheus(metric.kind, registry.prefix());
        let help = metric.help.clone().map_or(Cow::Borrowed(NO_HELP), Cow::Owned);
        let kind = match metric.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        };
        let family = page.family(name.into(), help, kind);
        for (labels, value) in &metric.series {
            let labels: Vec<(&str, &str)> = labels.pairs().collect();
            match value {
                Value::Number(number) => family.set(&labels, *number),
                Value::Histogram(seen) => {
                    family.distribution(&labels, seen.cumulative(&metric.buckets), seen.count(), seen.sum())
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::metrics::name::Prefix;
    use crate::domain::metrics::registry::Limits;
    use crate::domain::metrics::write::Write;

    fn text(items: &[&str]) -> String {
        let prefix = Prefix::parse("desk").expect("a prefix");
        let mut registry = Registry::new(prefix.clone(), Limits { metrics: 10, series: 10, memory: 1 << 20 });
        let batch = items.iter().map(|item| Write::parse(item, &prefix).expect(item)).collect();
        registry.take(batch).expect("good");
        let all = shown(&registry);
        let posted =
            all.lines().filter(|line| line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ").starts_with("desk_x"));
        posted.map(|line| format!("{line}\n")).collect()
    }

    fn shown(registry: &Registry) -> String {
        let mut page = Page::default();
        add(&mut page, registry);
        page.text().expect("text")
    }

    #[test]
    fn each_kind_reads_as_prometheus_expects_it() {
        let written = text(&[
            r#"{"name":"x_lots","kind":"counter","value":2,"help":"Lots\nof \\ it","labels":{"b":"1,a=\"2\"\n\\","a":"ü"}}"#,
            r#"{"name":"x_open_count","kind":"gauge","value":-2.5}"#,
            r#"{"name":"x_time","kind":"histogram","value":0.5,"buckets":[1,0.5]}"#,
            r#"{"name":"x_time","kind":"histogram","value":7}"#,
        ]);
        let expected = r#"# HELP desk_x_lots_total Lots\nof \\ it
# TYPE desk_x_lots_total counter
desk_x_lots_total{a="ü",b="1,a=\"2\"\n\\"} 2
# HELP desk_x_open Posted by an engine, without a help text.
# TYPE desk_x_open gauge
desk_x_open -2.5
# HELP desk_x_time Posted by an engine, without a help text.
# TYPE desk_x_time histogram
desk_x_time_bucket{le="0.5"} 1
desk_x_time_bucket{le="1"} 1
desk_x_time_bucket{le="+Inf"} 2
desk_x_time_sum 7.5
desk_x_time_count 2
"#;
        assert_eq!(written, expected);
    }

    #[test]
    fn what_is_predefined_is_there_from_the_start_unless_it_is_unknown() {
        let registry = Registry::new(Prefix::default(), Limits { metrics: 1, series: 1, memory: 1 });
        let text = shown(&registry);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<&str> = types.filter_map(|line| line.split(' ').next()).collect();
        let counted = ["cycle_duration_seconds", "cycles_total", "decisions_total", "errors_total", "order_latency_seconds"];
        let counted = counted.into_iter().chain(["trades_total", "trades_value_usd_total"]);
        assert_eq!(names, counted.map(|name| format!("live_trading_{name}")).collect::<Vec<_>>());
        assert!(text.contains("live_trading_trades_total 0\n"));
    }
}
