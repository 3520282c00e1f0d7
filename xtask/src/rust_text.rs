//! A Rust file as code, strings and comments, each with its line. The rules of the structure check
//! and the prose figures read it.
//!
//! `rustc_lexer` finds the tokens; this file only sorts them.

use ra_ap_rustc_lexer::{FrontmatterAllowed, LiteralKind, TokenKind, strip_shebang, tokenize};
use std::ops::Range;

/// One Rust file, sorted into code, strings and comments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RustText {
    /// The code. Comments, the contents of strings and `#[cfg(test)]` items are blanks, so that
    /// byte offsets and lines are those of the file.
    pub(crate) code: String,
    pub(crate) strings: Vec<StringLiteral>,
    pub(crate) comments: Vec<Comment>,
}

/// A string literal, without its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StringLiteral {
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    /// Each escape sequence is one blank.
    pub(crate) content: String,
    /// It belongs to a `#[cfg(test)]` item.
    pub(crate) in_test: bool,
}

/// One line of a comment, without its `//` or `/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) line: usize,
    pub(crate) is_doc: bool,
    pub(crate) text: String,
}

/// Sorts the tokens of `text`.
pub(crate) fn lex(text: &str) -> RustText {
    let mut code = String::with_capacity(text.len());
    let (mut strings, mut comments) = (Vec::new(), Vec::new());
    let mut at = strip_shebang(text).unwrap_or_default();
    blank(&mut code, &text[..at]);
    for token in tokenize(&text[at..], FrontmatterAllowed::No) {
        let token_text = &text[at..at + token.len as usize];
        match token.kind {
            TokenKind::LineComment { doc_style } => {
                comments.extend(comment_lines(line_of(text, at), doc_style.is_some(), token_text));
                blank(&mut code, token_text);
            }
            TokenKind::BlockComment { doc_style, .. } => {
                comments.extend(comment_lines(line_of(text, at), doc_style.is_some(), token_text));
                blank(&mut code, token_text);
            }
            TokenKind::Literal { kind, .. } => match content_range(kind, token_text) {
                Some(content) => {
                    strings.push((at, unescape(kind, &token_text[content.clone()])));
                    code.push_str(&token_text[..content.start]);
                    blank(&mut code, &token_text[content.clone()]);
                    code.push_str(&token_text[content.end..]);
                }
                None => code.push_str(token_text),
            },
            _ => code.push_str(token_text),
        }
        at += token.len as usize;
    }
    let tests = test_items(&code);
    let strings = strings.into_iter().map(|(start, content)| StringLiteral {
        line: line_of(text, start),
        content,
        in_test: tests.iter().any(|test| test.contains(&start)),
    });
    RustText { strings: strings.collect(), code: without(&code, &tests), comments }
}

/// The line, from 1, of the byte `at`.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Appends a blank for each byte of `text` and keeps its line ends.
fn blank(code: &mut String, text: &str) {
    code.extend(text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
}

fn comment_lines(first: usize, is_doc: bool, token: &str) -> impl Iterator<Item = Comment> {
    let is_block = token.starts_with("/*");
    let body = token.trim_end_matches("*/");
    let body = body.trim_start_matches(if is_block { "/*" } else { "//" });
    // `///`, `//!`, `/**` and `/*!` have one more character.
    let body = if is_doc { body.trim_start_matches(['/', '!', '*']) } else { body };
    // Unlike `lines`, `split` keeps the empty line of a bare `///`.
    body.split('\n').enumerate().map(move |(index, line)| {
        let text = if is_block { line.trim().trim_start_matches("* ") } else { line.trim() };
        Comment { line: first + index, is_doc, text: text.to_owned() }
    })
}

/// The bytes between the quotes of a string literal. `None` for numbers and characters, because no
/// rule reads them.
fn content_range(kind: LiteralKind, token: &str) -> Option<Range<usize>> {
    use LiteralKind::{ByteStr, CStr, RawByteStr, RawCStr, RawStr, Str};
    if !matches!(kind, Str { .. } | ByteStr { .. } | CStr { .. } | RawStr { .. } | RawByteStr { .. } | RawCStr { .. }) {
        return None;
    }
    let start = token.find('"')? + 1;
    let end = token.rfind('"').filter(|&end| end >= start).unwrap_or(token.len());
    Some(start..end)
}

/// The content with a blank for each escape sequence: an escape separates words, as a blank does.
fn unescape(kind: LiteralKind, content: &str) -> String {
    use LiteralKind::{RawByteStr, RawCStr, RawStr};
    if matches!(kind, RawStr { .. } | RawByteStr { .. } | RawCStr { .. }) {
        return content.to_owned();
    }
    let mut plain = String::with_capacity(content.len());
    let mut chars = content.chars();
    while let Some(char) = chars.next() {
        if char == '\\' {
            chars.next();
            plain.push(' ');
        } else {
            plain.push(char);
        }
    }
    plain
}

/// The `#[cfg(test)]` items of `code`, in order.
fn test_items(code: &str) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = end_of_item(code, start);
        items.push(start..end);
        from = end;
    }
    items
}

fn without(code: &str, items: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut at = 0;
    for item in items {
        kept.push_str(&code[at..item.start]);
        blank(&mut kept, &code[item.clone()]);
        at = item.end;
    }
    kept.push_str(&code[at..]);
    kept
}

/// The end of the item after the attribute at `start`: its `;`, or its closing brace.
fn end_of_item(code: &str, start: usize) -> usize {
    let mut depth = 0_u32;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth > 1 => depth -= 1,
            b'}' => return at + 1,
            b';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The strings outside `#[cfg(test)]` items.
    fn strings(text: &str) -> Vec<(usize, String)> {
        let strings = lex(text).strings.into_iter().filter(|string| !string.in_test);
        strings.map(|string| (string.line, string.content)).collect()
    }

    fn string(line: usize, content: &str) -> (usize, String) {
        (line, content.to_owned())
    }

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "a(\"x // y\"); // b\nc /* d /* e */ \" */ f";
        let lexed = lex(text);
        assert_eq!(lexed.code, format!("a(\"      \");     \nc{}f", " ".repeat(19)));
        assert_eq!(strings(text), [string(1, "x // y")]);
        assert_eq!(lexed.code.len(), text.len());
    }

    #[test]
    fn each_kind_of_string_has_its_content() {
        assert_eq!(strings(r##"f(r#"a " b"#, "c")"##), [string(1, "a \" b"), string(1, "c")]);
        assert_eq!(strings("\n br\"x\\\" + \"y\""), [string(2, "x\\"), string(2, "y")]);
        assert_eq!(strings(r#""a\"b" "c""#), [string(1, "a b"), string(1, "c")]);
        assert_eq!(strings("'\"' + \"x\" + '\\'' + \"y\""), [string(1, "x"), string(1, "y")]);
        assert_eq!(strings("fn f<'a>(x: &'a str) { \"x\" }"), [string(1, "x")]);
        assert_eq!(strings("r#type = \"x\""), [string(1, "x")]);
        assert_eq!(strings("\"no end"), [string(1, "no end")]);
    }

    #[test]
    fn comments_keep_their_lines_and_their_kind() {
        let text = "//! A crate.\nfn f() {} // Why.\n/// Doc\n/* one\n * two */";
        let found: Vec<_> =
            lex(text).comments.into_iter().map(|comment| (comment.line, comment.is_doc, comment.text)).collect();
        let expected =
            [(1, true, "A crate."), (2, false, "Why."), (3, true, "Doc"), (4, false, "one"), (5, false, "two")];
        assert_eq!(found, expected.map(|(line, is_doc, text)| (line, is_doc, text.to_owned())));
    }

    #[test]
    fn test_items_are_blank_and_lines_stay() {
        let text =
            "use a;\n#[cfg(test)]\nmod tests {\n  fn f() { \"in\" }\n}\nfn g() { \"out\" }\n#[cfg(test)]\nmod more;\nh";
        assert_eq!(strings(text), [string(6, "out")]);
        let lexed = lex(text);
        let lines: Vec<&str> = lexed.code.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["use a;", "", "", "", "", "fn g() { \"   \" }", "", "", "h"]);
    }
}
