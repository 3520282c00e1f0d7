//! Takes the passages of prose out of a file.

use super::comments::{self, Syntax};
use super::markdown;
use super::passage::{Kind, Line, Passage};
use crate::rust_text::{RustText, lex};

/// Takes the prose out of a file. The extension of `path` decides how to read it; other files have
/// none.
pub(crate) fn passages(path: &str, text: &str) -> Vec<Passage> {
    match path.rsplit('.').next() {
        Some("rs") => rust(&lex(text)),
        Some("md") => markdown::paragraphs(text),
        Some("sql") => join(comments::comments(text, &Syntax::SQL)),
        Some("js" | "mjs") => join(comments::comments(text, &Syntax::JAVASCRIPT)),
        Some("py") => join(comments::comments(text, &Syntax::PYTHON)),
        Some("toml" | "sh" | "yml" | "yaml") => join(comments::comments(text, &Syntax::HASH)),
        _ => Vec::new(),
    }
}

fn rust(text: &RustText) -> Vec<Passage> {
    let lines = text.comments.iter().map(|comment| {
        let kind = if comment.is_doc { Kind::Doc } else { Kind::Comment };
        (kind, Line { number: comment.line, text: comment.text.clone() })
    });
    let mut passages = join_kinds(lines);
    passages.iter_mut().for_each(drop_fences);
    // The strings of unit tests are mostly data.
    let messages = text.strings.iter().filter(|string| !string.in_test).map(|string| {
        let lines = string.content.lines().enumerate();
        let lines = lines.map(|(index, text)| Line { number: string.line + index, text: text.trim().to_owned() });
        Passage { kind: Kind::Message, lines: lines.collect() }
    });
    passages
        .extend(messages.filter(|message| message.words().iter().filter(|word| !word.text.is_empty()).count() >= 3));
    passages
}

/// Empties the lines of code examples.
fn drop_fences(passage: &mut Passage) {
    let mut in_fence = false;
    for line in &mut passage.lines {
        let is_mark = line.text.starts_with("```");
        if in_fence || is_mark {
            line.text.clear();
        }
        in_fence ^= is_mark;
    }
}

fn join(lines: Vec<Line>) -> Vec<Passage> {
    join_kinds(lines.into_iter().map(|line| (Kind::Comment, line)))
}

fn join_kinds(lines: impl Iterator<Item = (Kind, Line)>) -> Vec<Passage> {
    let mut passages = Vec::<Passage>::new();
    for (kind, line) in lines {
        match passages.last_mut() {
            Some(last) if last.kind == kind && last.last_line() + 1 == line.number => last.lines.push(line),
            _ => passages.push(Passage { kind, lines: vec![line] }),
        }
    }
    passages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(path: &str, text: &str) -> Vec<String> {
        let passages = passages(path, text);
        passages.iter().flat_map(Passage::words).map(|word| word.text).filter(|text| !text.is_empty()).collect()
    }

    #[test]
    fn prose_is_read_from_each_kind_of_file() {
        for (path, text, expected) in [
            ("a.rs", "/// The `row`'s lease.\nlet x = 1; // Why\n", "the lease why"),
            ("a.rs", "// A `span of\n// code` and `one\n//\n// more.", "a and more"),
            ("a.rs", "//! Text.\n//! ```\n//! code();\n//! ```\n//! More.", "text more"),
            ("a.rs", "let x = \"a message for people\"; let y = \"two words\";", "a message for people"),
            ("a.sql", "select 1; -- The row's lease.\nselect '-- no comment';", "the row lease"),
            ("a.mjs", "const a = 'x // y'; // Outside\n/* a\n b */ f(`// no`)", "outside a b"),
            ("a.toml", "x = \"# no\" # yes\n# and yes", "yes and yes"),
            ("a.md", "# A title\n\nText [link](https://a.b/who).\n```\ncode\n```\n| a | b |", "a title text link a b"),
            ("a.txt", "# nothing", ""),
        ] {
            assert_eq!(words(path, text).join(" "), expected, "{path}: {text}");
        }
    }

    #[test]
    fn names_and_numbers_in_code_count_for_the_length() {
        for (text, expected) in [("/// The lease.", 2), ("/// The constant `1.0`.", 4), ("/// `a/{b}`: c-d's", 3)] {
            assert_eq!(passages("a.rs", text)[0].length(), expected, "{text}");
        }
    }

    #[test]
    fn lines_that_follow_each_other_are_one_passage() {
        let found = passages("a.rs", "/// one\n///\n/// two\n// three\n\n// four\n");
        let found: Vec<_> =
            found.iter().map(|passage| (passage.kind, passage.first_line(), passage.length())).collect();
        assert_eq!(found, [(Kind::Doc, 1, 2), (Kind::Comment, 4, 1), (Kind::Comment, 6, 1)]);
    }
}
