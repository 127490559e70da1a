//! `plimsoll risk limits` and `plimsoll risk set`.

use serde_json::Value;

use super::table::{self, Cell, at, items, text};
use super::{get, post, show as show_answer, usage};
use crate::cli::Exit;
use crate::cli::client::Target;
use crate::cli::fields::Object;
use crate::cli::terminal::{Out, Paint};

const PATH: &str = "/api/risk/limits";

/// How to show the limits.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    target: Target,
}

/// What to set.
#[derive(Debug, clap::Args)]
pub struct SetArgs {
    /// A limit and its new value; null takes the override back
    #[arg(required = true, value_name = "LIMIT=VALUE", value_parser = assignment)]
    limits: Vec<(String, String)>,
    #[command(flatten)]
    target: Target,
}

/// Shows the limits.
pub fn show(args: &ShowArgs) -> anyhow::Result<Exit> {
    let answer = get(&args.target.client()?, PATH, &[])?;
    show_answer(&mut Out::new(), &answer, args.target.json, lines)?;
    Ok(Exit::Clean)
}

/// Sets limits, and shows what holds then.
pub fn set(args: &SetArgs) -> anyhow::Result<Exit> {
    if let Some((again, _)) = args
        .limits
        .iter()
        .enumerate()
        .find_map(|(index, limit)| args.limits.iter().take(index).find(|(name, _)| *name == limit.0))
    {
        return Err(usage(format!("{again} is given twice")));
    }
    let body = args.limits.iter().fold(Object::new(), |body, (name, value)| body.raw(name, value)).finish();
    let answer = post(&args.target.client()?, PATH, &body)?;
    show_answer(&mut Out::new(), &answer, args.target.json, lines)?;
    Ok(Exit::Clean)
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("must be LIMIT=VALUE, such as max_trades_per_day=15")?;
    let (name, value) = (name.trim(), value.trim());
    match serde_json::from_str::<Value>(value) {
        Ok(Value::Number(_) | Value::Null) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(format!("the value of {name} must be a number, or null to take the override back")),
    }
}

fn lines(body: &Value, colour: bool) -> Vec<String> {
    let source = at(body, "source");
    let rows = body.as_object().into_iter().flatten().filter(|(_, value)| value.is_number()).map(|(name, value)| {
        let from = text(source, name);
        let paint = if from == "override" { Paint::Yellow } else { Paint::Dim };
        vec![Cell::text(name).painted(Paint::Bold), Cell::number(value), Cell::text(from).painted(paint)]
    });
    let mut lines = table::lines(&["LIMIT", "VALUE", "SOURCE"], rows.collect(), colour);
    let by = at(body, "updated_by").as_str().map(|_| format!(" by {}", text(body, "updated_by"))).unwrap_or_default();
    lines.push(format!("in force since {}{by}", text(body, "updated_at")));
    let file = at(body, "overrides_file");
    if at(file, "detail").is_string() {
        let mut line = String::new();
        let said = format!("the overrides file is {}: {}", text(file, "status"), text(file, "detail"));
        Paint::Red.add(&mut line, &said, colour);
        lines.push(line);
    }
    let others: Vec<_> = items(file, "other_keys").iter().filter_map(Value::as_str).collect();
    if !others.is_empty() {
        lines.push(crate::cli::terminal::harmless(&format!("the overrides file also has {}", others.join(", "))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_assignment_is_a_limit_and_a_number_or_null() {
        assert_eq!(assignment("max_trades_per_day=15"), Ok(("max_trades_per_day".to_owned(), "15".to_owned())));
        assert_eq!(assignment("a = 1.50"), Ok(("a".to_owned(), "1.50".to_owned())));
        assert!(assignment("a=null").is_ok());
        for bad in ["a", "a=", "=1", "a=x", "a=\"1\"", "a=NaN", "a=1,000", "a=true", "a={}"] {
            assert!(assignment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_limits_are_shown_with_where_each_comes_from() {
        let body = json!({"max_trades_per_day": 15, "max_loss_streak": 4, "source": {"max_trades_per_day": "override",
            "max_loss_streak": "base"}, "updated_at": "2026-11-20T00:00:00Z", "updated_by": "alice",
            "overrides_file": {"status": "malformed", "detail": "is not valid YAML"}});
        let expected = [
            "LIMIT               VALUE  SOURCE",
            "max_trades_per_day     15  override",
            "max_loss_streak         4  base",
            "in force since 2026-11-20T00:00:00Z by alice",
            "the overrides file is malformed: is not valid YAML",
        ];
        assert_eq!(lines(&body, false), expected);
        assert!(!lines(&json!({}), false).is_empty(), "an answer of another version is no reason to fail");
    }
}
