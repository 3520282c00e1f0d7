//! Text for a terminal: characters that control the terminal or hide text are escaped.
//!
//! Names, values and error messages come from events and scripts. Printed unchanged, they could
//! move the cursor, change colours, or reorder the line that a person reads. Each border of the
//! program calls this module: command output, delivery lines, and the log for people.

use std::borrow::Cow;
use std::fmt::Write as _;

/// One line: line breaks and tabs are escaped too, as `\n` and `\t`.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, |c| match c {
        '\n' => Some(r"\n"),
        '\t' => Some(r"\t"),
        '\r' => Some(r"\r"),
        _ => None,
    })
}

/// Several lines: line feeds and tabs stay.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| match c {
        '\n' => Some("\n"),
        '\t' => Some("\t"),
        '\r' => Some(r"\r"),
        _ => None,
    })
}

/// A JSON text, which stays the same JSON value. In valid JSON a raw carriage return is only white
/// space between values, and every other unsafe character is in a string.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    escape(text, |c| match c {
        '\n' | '\r' => Some("\n"),
        '\t' => Some("\t"),
        _ => None,
    })
}

/// Replaces each unsafe character by its entry in `short`, or else by `\u` and four hex digits.
fn escape(text: &str, short: fn(char) -> Option<&'static str>) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match short(c) {
            _ if !is_unsafe(c) => escaped.push(c),
            Some(replacement) => escaped.push_str(replacement),
            None => write!(escaped, "\\u{:04x}", u32::from(c)).expect("writing to a String cannot fail"),
        }
    }
    Cow::Owned(escaped)
}

/// Whether a terminal may act on `c` instead of showing it: control characters, the line and
/// paragraph separators, and the characters that change the direction of text.
const fn is_unsafe(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200e}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_characters_are_escaped() {
        for (text, in_line) in [
            ("plain é 鍵 👩\u{200d}👩 \\", "plain é 鍵 👩\u{200d}👩 \\"),
            ("\u{1b}[31m", "\\u001b[31m"),
            ("a\0b\u{7f}\u{9b}2J", "a\\u0000b\\u007f\\u009b2J"),
            ("user\u{202e}txt\u{2066}\u{200f}\u{61c}", "user\\u202etxt\\u2066\\u200f\\u061c"),
            ("a\r\nb\tc\u{2028}", "a\\r\\nb\\tc\\u2028"),
        ] {
            assert_eq!(line(text), in_line);
            assert_eq!(line(&line(text)), in_line, "an escaped text stays the same");
        }
        assert_eq!(lines("a\r\n\tb\u{1b}"), "a\\r\n\tb\\u001b");
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        for text in ["{\"a\u{202e}\":\r\n\t[\"\u{9b}31m\", \"\\u001b\"]}", "[1,\r2]", "\"\u{feff}é\u{7f}\\\\\""] {
            let escaped = json(text);
            let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            assert_eq!(value(&escaped), value(text));
            assert!(!escaped.contains(|c| is_unsafe(c) && c != '\n' && c != '\t'), "{escaped:?}");
        }
    }
}
