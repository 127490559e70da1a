use super::super::limits::LimitKind::{MaxDailyLoss, MaxLossStreak, MaxTradesPerDay};
use super::*;
use proptest::prelude::*;

fn file(text: &str) -> OverridesFile {
    OverridesFile::parse(text.as_bytes()).expect("valid")
}

fn reason(text: impl AsRef<[u8]>) -> String {
    OverridesFile::parse(text.as_ref()).expect_err("refused")
}

fn patched(text: &str, patch: &str) -> String {
    let file = file(text);
    let overrides = file.overrides().with(&Patch::parse(patch).expect("valid"));
    let written = file.with(&overrides).expect("written");
    assert_eq!(written.overrides(), overrides);
    written.text().to_owned()
}

#[test]
fn only_our_lines_change_and_everything_else_stays_as_it_was_written() {
    let text = "# desk 7\ntheirs: {b: 1.10, a: [x, 'y']}   # keep\nmax_trades_per_day: 20  # for now\n\nmax_loss_streak: 3\nlast: |\n  max_trades_per_day: 1\n";
    assert_eq!(
        patched(text, r#"{"max_trades_per_day": 15, "max_loss_streak": null, "max_daily_loss_rupees": 12.5}"#),
        "# desk 7\ntheirs: {b: 1.10, a: [x, 'y']}   # keep\nmax_trades_per_day: 15  # for now\n\nlast: |\n  max_trades_per_day: 1\nmax_daily_loss_rupees: 12.5\n"
    );
    assert_eq!(patched("a: 1", r#"{"max_loss_streak": 2}"#), "a: 1\nmax_loss_streak: 2\n");
    assert_eq!(patched("a: 1\r\n", r#"{"max_loss_streak": 2}"#), "a: 1\r\nmax_loss_streak: 2\r\n");
    assert!(patched("", r#"{"max_loss_streak": 2}"#).ends_with(".\nmax_loss_streak: 2\n"));
    assert_eq!(patched("max_loss_streak : 0x10\n", r#"{"max_loss_streak": 2}"#), "max_loss_streak: 2\n");
}

#[test]
fn a_form_that_cannot_be_changed_line_by_line_is_written_anew_with_the_same_values_in_order() {
    for text in [
        "{z: 1, max_loss_streak: 3, a: {y: [1, 2]}}",
        "z: 1\nmax_loss_streak:\n  3\na: {y: [1, 2]}\n",
        "z: 1\n\"max_loss_streak\": 3\na:\n  y: [1, 2]\n",
        "z: 1\na:\n  y: [1, 2]\nmax_loss_streak: 3\n...\n",
    ] {
        let written = patched(text, r#"{"max_loss_streak": 2, "max_trades_per_day": 9}"#);
        assert!(written.ends_with("z: 1\na:\n  y:\n  - 1\n  - 2\nmax_trades_per_day: 9\nmax_loss_streak: 2\n"), "{written}");
    }
}

#[test]
fn digits_that_a_float_does_not_hold_are_kept() {
    let exact = "123456789012345.123456789";
    let read = file(&format!("max_daily_loss_rupees: {exact}\nother: 2\n"));
    assert_eq!(read.overrides().get(MaxDailyLoss).map(|value| value.to_string()).as_deref(), Some(exact));
    assert!(patched("", &format!(r#"{{"max_daily_loss_rupees": {exact}}}"#)).contains(exact));
}

#[test]
fn nothing_and_null_override_nothing() {
    for text in
        ["", "\n", "# only a comment\n", "---\n", "max_loss_streak:\n", "max_loss_streak: null\n", "max_loss_streak: ~\n", "{}"]
    {
        assert_eq!(file(text).overrides(), Overrides::default(), "{text:?}");
    }
    let both = file("max_loss_streak:\nmax_trades_per_day: 7\nlist: [1]\n");
    assert_eq!((both.overrides().get(MaxLossStreak), both.overrides().get(MaxTradesPerDay)), (None, Some(Decimal::from(7))));
    assert_eq!(both.other_keys().collect::<Vec<_>>(), ["list"]);
}

#[test]
fn what_is_no_overrides_file_is_refused_with_all_its_faults() {
    for bad in ["[1]", "15", "a: [", "a: 1\na: 2\n", "max_loss_streak: 3\nmax_loss_streak: 4\n", "a: 1\n---\nb: 2\n", "\tx"] {
        assert!(!reason(bad).is_empty(), "{bad}");
    }
    for bad in ["'3'", "three", "true", "[3]", "{a: 3}", ".nan", ".inf", "-1", "0", "1.5", "1e999", "2026-01-01", "1_000"] {
        assert!(reason(format!("max_loss_streak: {bad}\n")).starts_with("max_loss_streak must be"), "{bad}");
    }
    let all = reason("max_loss_streak: [1]\nmax_trades_per_day: x\nmax_daily_loss_rupees: 5\n");
    assert!(all.contains("max_loss_streak must") && all.contains("max_trades_per_day must"), "{all}");
    assert!(!all.contains("max_daily_loss_rupees"), "{all}");
    assert!(reason(b"a: \xff").starts_with("is not UTF-8"));
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
    assert!(reason(laughs).contains("repetition"), "{}", reason(laughs));
    assert!(!reason("[".repeat(100_000)).is_empty());
}

fn overrides() -> impl Strategy<Value = Overrides> {
    proptest::array::uniform5(proptest::option::of(1_u32..1000)).prop_map(|values| {
        let mut values = values.into_iter();
        Overrides::from_fn(|_| values.next().flatten().map(|value| Decimal::from(value.clamp(1, 100))))
    })
}

/// Lines as other tools and people write them.
fn foreign() -> impl Strategy<Value = String> {
    proptest::collection::vec(("[a-e]{2,5}", "(1\\.50|'q: #'|\\[1, x\\]|\\{k: v\\}|plain text|null)", "( # why)?"), 0..6)
        .prop_map(|lines| {
            let mut seen = Vec::new();
            let lines = lines.into_iter().filter(|(key, ..)| {
                !seen.contains(key) && {
                    seen.push(key.clone());
                    true
                }
            });
            lines.map(|(key, value, comment)| format!("{key}: {value}{comment}\n")).collect()
        })
}

proptest! {
    #[test]
    fn whatever_is_written_reads_back_and_no_foreign_line_is_touched(
        theirs in foreign(), steps in proptest::collection::vec(overrides(), 1..5),
    ) {
        let mut now = file(&theirs);
        for step in steps {
            now = now.with(&step).expect("written");
            prop_assert_eq!(file(now.text()).overrides(), step);
            let kept: String = now.text().split_inclusive('\n').filter(|line| ours(line).is_none()).collect();
            prop_assert!(kept == theirs || (theirs.is_empty() && kept == HEAD), "{}", kept);
        }
    }

    #[test]
    fn a_patch_changes_what_it_names_and_nothing_else(
        before in overrides(), kind in proptest::sample::select(LimitKind::ALL.to_vec()), value in proptest::option::of(1_u32..100),
    ) {
        let text = value.map_or("null".to_owned(), |value| value.to_string());
        let patch = Patch::parse(&format!(r#"{{"{}":{text}}}"#, kind.field())).expect("valid");
        let after = before.with(&patch);
        for each in LimitKind::ALL {
            let expected = if each == kind { value.map(Decimal::from) } else { before.get(each) };
            prop_assert_eq!(after.get(each), expected);
        }
        prop_assert_eq!(after.with(&patch), after);
    }

    #[test]
    fn no_content_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in ".{0,64}") {
        let _ = OverridesFile::parse(&bytes);
        let _ = OverridesFile::parse(text.as_bytes());
        let _ = OverridesFile::parse(format!("max_loss_streak: {text}").as_bytes());
    }
}
