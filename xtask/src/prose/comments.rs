//! Comments of languages that need no lexer of their own: SQL, JavaScript, and languages with `#`
//! comments.

use super::passage::Line;

/// How a language writes comments and strings.
pub(super) struct Syntax {
    line_comment: &'static str,
    block_comment: Option<(&'static str, &'static str)>,
    quotes: &'static [char],
    /// Quotes of strings that may span lines. Any other string ends with its line, so that a stray
    /// apostrophe hides one line and not the rest of the file.
    quotes_across_lines: &'static [char],
    has_escapes: bool,
}

impl Syntax {
    pub(super) const SQL: Self = Self {
        line_comment: "--",
        block_comment: Some(("/*", "*/")),
        quotes: &['\'', '"'],
        quotes_across_lines: &['\''],
        has_escapes: false,
    };
    pub(super) const JAVASCRIPT: Self = Self {
        line_comment: "//",
        block_comment: Some(("/*", "*/")),
        quotes: &['\'', '"', '`'],
        quotes_across_lines: &['`'],
        has_escapes: true,
    };
    /// A docstring is a block comment.
    pub(super) const PYTHON: Self = Self { block_comment: Some(("\"\"\"", "\"\"\"")), ..Self::HASH };
    /// TOML, YAML and shells.
    pub(super) const HASH: Self = Self {
        line_comment: "#",
        block_comment: None,
        quotes: &['\'', '"'],
        quotes_across_lines: &[],
        has_escapes: true,
    };
}

/// The lines of all comments in `text`.
pub(super) fn comments(text: &str, syntax: &Syntax) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest = text;
    let mut number = 1;
    let mut begins_line = true;
    while let Some(char) = rest.chars().next() {
        let length = if is_line_comment(rest, syntax, begins_line) {
            let end = rest.find('\n').unwrap_or(rest.len());
            let shebang = number == 1 && rest.starts_with("#!");
            let comment = rest[..end].trim_start_matches(syntax.line_comment).trim();
            lines.extend((!shebang).then(|| Line { number, text: comment.to_owned() }));
            end
        } else if let Some((open, close)) = syntax.block_comment.filter(|(open, _)| rest.starts_with(open)) {
            let end = rest[open.len()..].find(close).map_or(rest.len(), |at| open.len() + at + close.len());
            let body = rest[open.len()..end].trim_end_matches(close).lines().enumerate();
            let body = body.map(|(index, line)| (index, line.trim().trim_start_matches('*').trim()));
            lines.extend(body.map(|(index, text)| Line { number: number + index, text: text.to_owned() }));
            end
        } else if syntax.quotes.contains(&char) {
            string_length(rest, char, syntax)
        } else {
            char.len_utf8()
        };
        number += rest[..length].matches('\n').count();
        begins_line = rest[..length].ends_with(char::is_whitespace);
        rest = &rest[length..];
    }
    lines
}

/// `#` and `//` begin a comment only at the start of a word: `a#b` and `http://` hold none.
fn is_line_comment(rest: &str, syntax: &Syntax, begins_word: bool) -> bool {
    rest.starts_with(syntax.line_comment) && (begins_word || syntax.line_comment == "--")
}

fn string_length(rest: &str, quote: char, syntax: &Syntax) -> usize {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        if char == quote {
            return at + char.len_utf8();
        }
        if char == '\n' && !syntax.quotes_across_lines.contains(&quote) {
            return at;
        }
        if char == '\\' && syntax.has_escapes {
            chars.next();
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, syntax: &Syntax) -> Vec<(usize, String)> {
        comments(text, syntax).into_iter().map(|line| (line.number, line.text)).collect()
    }

    fn line(number: usize, text: &str) -> (usize, String) {
        (number, text.to_owned())
    }

    #[test]
    fn strings_hold_no_comments() {
        assert_eq!(found("a 'x\n-- y' -- z", &Syntax::SQL), [line(2, "z")]);
        assert_eq!(found("f('it\\'s // a', `b\n// c`) // d", &Syntax::JAVASCRIPT), [line(2, "d")]);
        assert_eq!(found("x = 'a # b' # c\ny = a#b", &Syntax::HASH), [line(1, "c")]);
    }

    #[test]
    fn a_stray_apostrophe_costs_one_line() {
        assert_eq!(found("/it's/\n// next", &Syntax::JAVASCRIPT), [line(2, "next")]);
    }

    #[test]
    fn a_block_has_its_lines_and_a_shebang_is_no_comment() {
        assert_eq!(found("\n/* a\n * b\n */", &Syntax::SQL)[..2], [line(2, "a"), line(3, "b")]);
        assert_eq!(found("#!/bin/sh\n# a", &Syntax::HASH), [line(2, "a")]);
        assert_eq!(found("\"\"\"A\nb.\"\"\"\nx = '# c'", &Syntax::PYTHON), [line(1, "A"), line(2, "b.")]);
    }
}
