//! Splits text from a pipe into JSON documents: one, an array of them, or one a line.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde::de::{DeserializeSeed, Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::Fields;

/// Longest line or document.
pub const LONGEST: usize = 16 << 20;

/// Takes one document on one line; answers whether more are wanted.
pub trait Sink: FnMut(Vec<u8>) -> bool {}
impl<F: FnMut(Vec<u8>) -> bool> Sink for F {}

/// Hands every document of `input` to `sink`, as one line each, as soon as it is whole.
///
/// When the first line is a whole object, every line is a document and passed on as it is, good or bad: the service
/// judges each. Otherwise the input is one array, or objects that may span lines.
///
/// # Errors
/// Text that is no JSON (in the second form), a line beyond [`LONGEST`], or the reader's own error.
pub fn split(mut input: impl BufRead, mut sink: impl Sink) -> io::Result<()> {
    let mut first = Vec::new();
    loop {
        first.clear();
        if !read_line(&mut input, &mut first)? {
            return Ok(());
        }
        let bom = first.strip_prefix(b"\xef\xbb\xbf").map(<[u8]>::len);
        if let Some(length) = bom {
            first.drain(..first.len() - length);
        }
        if !first.trim_ascii().is_empty() {
            break;
        }
    }
    if Fields::parse(&first).is_some() {
        return lines(first, input, sink);
    }
    let is_array = first.trim_ascii_start().starts_with(b"[");
    // the line's end was taken off; it is white space to JSON
    let whole = io::Cursor::new(first).chain(io::Cursor::new(b"\n")).chain(input);
    if is_array { array(whole, &mut sink) } else { objects(whole, sink) }
}

fn lines(first: Vec<u8>, mut input: impl BufRead, mut sink: impl Sink) -> io::Result<()> {
    let mut line = first;
    loop {
        if !line.trim_ascii().is_empty() && !sink(std::mem::take(&mut line)) {
            return Ok(());
        }
        line.clear();
        if !read_line(&mut input, &mut line)? {
            return Ok(());
        }
    }
}

fn objects(input: impl BufRead, mut sink: impl Sink) -> io::Result<()> {
    for document in serde_json::Deserializer::from_reader(input).into_iter::<Box<RawValue>>() {
        if !sink(on_one_line(&document?)) {
            break;
        }
    }
    Ok(())
}

fn array(input: impl BufRead, sink: &mut impl Sink) -> io::Result<()> {
    struct Elements<'a, S>(&'a mut S);
    impl<'de, S: Sink> DeserializeSeed<'de> for Elements<'_, S> {
        type Value = ();

        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_seq(self)
        }
    }
    impl<'de, S: Sink> Visitor<'de> for Elements<'_, S> {
        type Value = ();

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an array of events")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
            let mut wanted = true;
            while let Some(document) = elements.next_element::<Box<RawValue>>()? {
                wanted = wanted && (self.0)(on_one_line(&document));
            }
            Ok(())
        }
    }
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    deserializer.deserialize_seq(Elements(sink))?;
    Ok(deserializer.end()?)
}

/// Inside a JSON text a raw line break is always white space: in strings it is escaped.
fn on_one_line(document: &RawValue) -> Vec<u8> {
    let bytes = document.get().bytes();
    bytes.map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect()
}

/// Adds the next line to `line`, without its end; false when there is none.
pub fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let limit = LONGEST as u64 + 2;
    let count = input.by_ref().take(limit).read_until(b'\n', line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a line is longer than {LONGEST} bytes")));
    }
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(text: &str) -> io::Result<Vec<String>> {
        let mut documents = Vec::new();
        split(text.as_bytes(), |document| {
            documents.push(String::from_utf8(document).expect("text"));
            true
        })?;
        Ok(documents)
    }

    #[test]
    fn one_document_an_array_and_lines_all_become_lines() {
        let lines = ["{\"a\":1}", "{\"b\":[2]}"];
        for text in [
            "{\"a\":1}\n{\"b\":[2]}\n",
            "\u{feff}{\"a\":1}\r\n\r\n{\"b\":[2]}",
            "[{\"a\":1},{\"b\":[2]}]",
            "\n[\n{\"a\":1}\n,{\"b\":[2]}\n]\n",
        ] {
            assert_eq!(documents(text).expect("JSON"), lines, "{text:?}");
        }
        let pretty = "{\n  \"a\": \"x\\ny\"\n}\n{\n}";
        assert_eq!(documents(pretty).expect("JSON"), ["{   \"a\": \"x\\ny\" }", "{ }"]);
        assert!(documents(" \n\n").expect("nothing").is_empty() && documents("[]").expect("none").is_empty());
    }

    #[test]
    fn a_bad_line_among_good_ones_is_passed_on_for_the_service_to_judge() {
        assert_eq!(documents("{\"a\":1}\nnonsense\n{}\n").expect("lines"), ["{\"a\":1}", "nonsense", "{}"]);
    }

    #[test]
    fn text_that_is_no_json_is_an_error_with_its_place() {
        for text in ["nonsense", "{\"a\":", "[{\"a\":1},", "[1] 2"] {
            assert!(documents(text).expect_err("refused").to_string().contains("line"), "{text}");
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(split(endless, |_| true).is_err());
    }

    #[test]
    fn reading_stops_when_no_more_is_wanted() {
        let endless = io::BufReader::new(io::Cursor::new("{}\n".repeat(3)).chain(io::repeat(b'\n')));
        let mut count = 0;
        split(endless, |_| {
            count += 1;
            count < 3
        })
        .expect("no error");
        assert_eq!(count, 3);
    }
}
