//! Text for people: tables, ages, durations, indented JSON.

use crate::terminal;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use std::fmt::Write as _;
use tidegate_core::{Micros, Timestamp};

/// Rows under headers, in columns as wide as their widest cell, with two spaces between columns. A
/// terminal shows some characters, such as Chinese ones, two columns wide. A cell with several
/// lines continues in its own column. Cells are escaped here, because an escape changes their
/// width.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    let escaped = rows.iter().map(|row| row.iter().map(|cell| terminal::lines(cell)));
    table.load_style(NOTHING).set_header(headers).add_rows(escaped);
    table.column_iter_mut().for_each(|column| _ = column.set_padding((0, 2)));
    format!("{}\n", table.trim_fmt())
}

/// The first line of `text`, escaped and cut to `width` characters.
pub(crate) fn first_line(text: &str, width: usize) -> String {
    let line = terminal::line(text.lines().next().unwrap_or_default());
    if line.chars().count() <= width {
        return line.into_owned();
    }
    line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// `text` with `indent` before each line but the first.
pub(crate) fn hanging(text: &str, indent: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{indent}"))
}

/// `1 thing`, `2 things`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The time from `rfc3339` to `now`, such as `3 min ago`. A text that is not a time is returned as
/// it is.
pub(crate) fn age(rfc3339: &str, now: Timestamp) -> String {
    match Timestamp::from_rfc3339(rfc3339) {
        Some(time) if time > now => format!("in {}", duration(time.since(now))),
        Some(time) => format!("{} ago", duration(now.since(time))),
        None => rfc3339.to_owned(),
    }
}

/// A duration in its largest unit.
pub(crate) fn duration(micros: Micros) -> String {
    let ms = micros.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", ms / 1_000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
    }
}

/// Indents the JSON text `json`. Each line but the first begins with `indent`. Numbers and strings
/// stay as they are written; parsing and printing would change long numbers.
pub(crate) fn pretty_json(json: &str, indent: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let mut characters = json.chars().peekable();
    let break_line = |text: &mut String, depth: usize| {
        write!(text, "\n{indent}{:1$}", "", depth * 2).expect("writing to a String cannot fail");
    };
    while let Some(c) = characters.next() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            text.push(c);
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                text.push(c);
            }
            '{' | '[' => {
                text.push(c);
                while characters.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match characters.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => text.push(end),
                    None => {
                        depth += 1;
                        break_line(&mut text, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_the_width_on_a_terminal() {
        let rows = [
            vec!["1".to_owned(), "é".to_owned(), "last".to_owned()],
            vec!["100".to_owned(), String::new(), String::new()],
        ];
        assert_eq!(table(&["id", "b", "c"], &rows), "id   b  c\n1    é  last\n100\n");
        let rows = [
            vec!["鍵".to_owned(), "x".to_owned()],
            vec!["e\u{301}".to_owned(), "two\nlines".to_owned()],
            vec!["ab".to_owned(), "y".to_owned()],
        ];
        assert_eq!(table(&["k", ""], &rows), "k\n鍵  x\ne\u{301}   two\n    lines\nab  y\n");
    }

    #[test]
    fn ages_are_in_their_largest_unit() {
        let now = Timestamp::from_rfc3339("2026-01-02T00:00:00Z").unwrap();
        for (moment, expected) in [
            ("2026-01-01T23:59:59.500Z", "500 ms ago"),
            ("2026-01-01T23:59:01Z", "59 s ago"),
            ("2026-01-01T23:58:00Z", "2 min ago"),
            ("2026-01-01T00:00:00Z", "24 h ago"),
            ("2025-12-01T00:00:00Z", "32 days ago"),
            ("2026-01-02T00:00:30Z", "in 30 s"),
            ("soon", "soon"),
        ] {
            assert_eq!(age(moment, now), expected);
        }
    }

    #[test]
    fn json_is_indented_and_its_values_are_kept() {
        for (json, expected) in [
            ("1.50", "1.50"),
            ("{}", "{}"),
            ("[ ]", "[]"),
            (
                r#"{"a":[1,{"b":12345678901234567890}],"c":"x{\",:"}"#,
                "{\n  \"a\": [\n    1,\n    {\n      \"b\": 12345678901234567890\n    }\n  ],\n  \"c\": \"x{\\\",:\"\n}",
            ),
            ("\"31m\\\\\"", "\"31m\\\\\""),
        ] {
            let pretty = pretty_json(json, "");
            assert_eq!(pretty, expected);
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::from_str::<serde_json::Value>(&pretty).unwrap(), value);
        }
        assert_eq!(pretty_json("[1]", "    "), "[\n      1\n    ]");
    }

    #[test]
    fn unsafe_characters_are_escaped_and_count_to_the_width() {
        let rows = [vec!["\u{202e}a".to_owned(), "x".to_owned()], vec!["b".to_owned(), "y\n\u{1b}".to_owned()]];
        assert_eq!(table(&["k", ""], &rows), "k\n\\u202ea  x\nb        y\n         \\u001b\n");
        assert_eq!(first_line("abcdef\nx", 4), "abc…");
        assert_eq!(first_line("\u{1b}[31m\tb", 20), "\\u001b[31m\\tb");
    }
}
