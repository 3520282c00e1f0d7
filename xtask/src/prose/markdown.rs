//! The paragraphs of a Markdown page: titles, text, lists and tables, without code.

use super::passage::{Kind, Line, Passage};

/// The paragraphs of `text`. A table's rows and a list's items are lines of one paragraph.
pub(super) fn paragraphs(text: &str) -> Vec<Passage> {
    let mut paragraphs = Vec::new();
    let mut lines = Vec::new();
    for (number, line) in prose_lines(text) {
        if line.trim().is_empty() {
            finish(&mut lines, &mut paragraphs);
        } else {
            lines.push(Line { number, text: without_targets(line.trim()) });
        }
    }
    finish(&mut lines, &mut paragraphs);
    paragraphs
}

/// The lines outside code fences with their numbers, from 1. The lines of a fence are empty.
pub(crate) fn prose_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_fence = false;
    text.lines().enumerate().map(move |(index, line)| {
        let is_mark = line.trim_start().starts_with("```");
        let is_code = in_fence || is_mark;
        in_fence ^= is_mark;
        (index + 1, if is_code { "" } else { line })
    })
}

fn finish(lines: &mut Vec<Line>, paragraphs: &mut Vec<Passage>) {
    if !lines.is_empty() {
        paragraphs.push(Passage { kind: Kind::Page, lines: std::mem::take(lines) });
    }
}

/// The line without the targets of its links: `[text](target)` becomes `[text]`.
pub(crate) fn without_targets(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("](") {
        text.push_str(&rest[..=at]);
        rest = rest[at..].split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_targets_are_left_out() {
        let text = "One [link](a/b.md) and\ntwo.\n\n```sql\nselect 1\n```\n\nThree.";
        let found: Vec<_> = paragraphs(text).into_iter().flat_map(|paragraph| paragraph.lines).collect();
        let found: Vec<_> = found.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(found, [(1, "One [link] and"), (2, "two."), (8, "Three.")]);
    }
}
