//! Writing to the terminal or a pipe: colours, clipping, and a reader that has gone.

use std::io::{self, IsTerminal as _, Write as _};

/// Whoever read our standard output has closed it.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
pub struct StdoutClosed;

/// Standard output, one whole line at a time.
#[derive(Debug)]
pub struct Out {
    stdout: io::Stdout,
    /// Whether lines are cut at the right margin.
    clips: bool,
    /// Whether colours are wanted.
    pub colour: bool,
}

/// Longest line sent to a terminal, in bytes; no terminal is wider.
const WIDEST: usize = 4096;

impl Out {
    /// Standard output as it is: a terminal gets colours and clipped lines, a pipe gets plain text.
    pub fn new() -> Self {
        let stdout = io::stdout();
        let smart = stdout.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colour = smart && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { stdout, clips: smart, colour }
    }

    /// Writes a line as it is.
    pub fn line(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// Writes a line that the terminal cuts at its right margin.
    pub fn clipped(&mut self, text: &str) -> anyhow::Result<()> {
        if self.clips { self.write(&clip(text)) } else { self.line(text) }
    }

    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let mut stdout = self.stdout.lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(StdoutClosed.into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Has the terminal do the cutting (autowrap off for this line): it alone knows its width at this very moment,
/// and how wide each character is. The space at the end blanks the last column, which would show the line's last character.
fn clip(text: &str) -> String {
    let end = text.char_indices().map(|(at, _)| at).find(|at| *at >= WIDEST).unwrap_or(text.len());
    format!("\x1b[?7l{} {RESET}\x1b[?7h\n", text.get(..end).unwrap_or_default())
}

/// One line on stderr, from this program to the person; nothing to do if stderr is closed.
pub fn complain(text: &str) {
    note(&format!("plimsoll: {text}"));
}

/// A plain line on stderr.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Ends every colour.
pub const RESET: &str = "\x1b[0m";

/// A colour or weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// The terminal's own.
    Plain,
    /// Of little weight.
    Dim,
    /// Of much weight.
    Bold,
    /// Good news.
    Green,
    /// Look at this.
    Yellow,
    /// Bad news.
    Red,
    /// Names.
    Cyan,
    /// Very bad news.
    Alarm,
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "\x1b[2m",
            Self::Bold => "\x1b[1m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
            Self::Cyan => "\x1b[36m",
            Self::Alarm => "\x1b[1;37;41m",
        }
    }

    /// Adds `text` to `line` in this colour, if there are colours.
    pub fn add(self, line: &mut String, text: &str, colour: bool) {
        if colour && self != Self::Plain {
            line.push_str(self.code());
            line.push_str(text);
            line.push_str(RESET);
        } else {
            line.push_str(text);
        }
    }
}

/// Without control characters: text of strangers must not steer the terminal.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || is_bidi_control(c) { '\u{fffd}' } else { c }).collect()
}

/// Characters that turn the direction of what follows, so that a line reads as something else.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number with its thousands grouped.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases = [(0, "0"), (999, "999"), (1000, "1,000"), (54_317, "54,317"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn an_engine_cannot_steer_the_terminal_with_escape_sequences() {
        assert_eq!(harmless("a\x1b[2Jb\r\n\u{9b}c\u{202e}d é"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\u{fffd}c\u{fffd}d é");
    }

    #[test]
    fn a_clipped_line_is_bounded_and_leaves_the_terminal_as_it_was() {
        let line = clip(&"é".repeat(10_000));
        assert!(line.len() < WIDEST + 64, "{}", line.len());
        assert!(line.starts_with("\x1b[?7l") && line.ends_with("\x1b[0m\x1b[?7h\n"));
    }
}
