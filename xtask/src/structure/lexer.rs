//! As much of Rust's grammar as the rules need: what is code, what is a string, what is a comment, and what is a test.

/// A file's text, taken apart. Places are kept: each part has its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lexed {
    /// The code: comments and the contents of strings are blanks, and so are `#[cfg(test)]` modules.
    pub(super) code: String,
    /// The contents of the strings outside tests, each with the line where it begins.
    pub(super) strings: Vec<(usize, String)>,
}

/// Takes `text` apart.
pub(super) fn lex(text: &str) -> Lexed {
    let chars: Vec<char> = text.chars().collect();
    let mut scanner = Scanner { chars: &chars, at: 0, code: String::with_capacity(text.len()), strings: Vec::new() };
    scanner.scan();
    let Scanner { code, strings, .. } = scanner;
    without_tests(code, strings)
}

/// The line, from 1, of the byte `at`.
pub(super) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

struct Scanner<'a> {
    chars: &'a [char],
    at: usize,
    /// As long as what was read: a blank for each character left out, and each line's end.
    code: String,
    /// With the number of characters before each, counted as `code` counts them.
    strings: Vec<(usize, String)>,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        while let Some(char) = self.peek(0) {
            match (char, self.peek(1)) {
                ('/', Some('/')) => self.blank_while(|scanner| scanner.peek(0) != Some('\n')),
                ('/', Some('*')) => self.block_comment(),
                ('"', _) => self.string(),
                ('r', Some('"' | '#')) if self.begins_a_word() && self.raw_hashes(1).is_some() => self.raw_string(1),
                ('b' | 'c', Some('r')) if self.begins_a_word() && self.raw_hashes(2).is_some() => self.raw_string(2),
                ('\'', _) => self.char_or_lifetime(),
                _ => self.keep(),
            }
        }
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn begins_a_word(&self) -> bool {
        self.at == 0 || !matches!(self.chars[self.at - 1], '_' | '0'..='9' | 'a'..='z' | 'A'..='Z')
    }

    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self) {
        // A blank of as many bytes, so that places in the code are places in the text.
        match self.peek(0) {
            Some('\n') => self.code.push('\n'),
            Some(char) => self.code.extend(std::iter::repeat_n(' ', char.len_utf8())),
            None => {}
        }
        self.at += 1;
    }

    fn blank_while(&mut self, goes_on: impl Fn(&Self) -> bool) {
        while self.peek(0).is_some() && goes_on(self) {
            self.blank();
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_u32;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.blank();
                    continue;
                }
            }
            self.blank();
            self.blank();
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        let start = self.code.len();
        let mut content = String::new();
        self.keep();
        while let Some(char) = self.peek(0) {
            match char {
                '"' => break,
                '\\' => {
                    // An escape of whatever kind separates words, as a blank does.
                    content.push(' ');
                    self.blank();
                    self.blank();
                }
                _ => {
                    content.push(char);
                    self.blank();
                }
            }
        }
        self.keep();
        self.strings.push((start, content));
    }

    /// How many `#` stand before the quote of a raw string whose prefix is `prefix` characters long.
    fn raw_hashes(&self, prefix: usize) -> Option<usize> {
        let hashes = (prefix..).take_while(|&ahead| self.peek(ahead) == Some('#')).count();
        (self.peek(prefix + hashes) == Some('"')).then_some(hashes)
    }

    fn raw_string(&mut self, prefix: usize) {
        let hashes = self.raw_hashes(prefix).expect("the caller has looked");
        let start = self.code.len();
        let mut content = String::new();
        for _ in 0..=prefix + hashes {
            self.keep();
        }
        let ends =
            |scanner: &Self| scanner.peek(0) == Some('"') && (1..=hashes).all(|ahead| scanner.peek(ahead) == Some('#'));
        while self.peek(0).is_some() && !ends(self) {
            content.extend(self.peek(0));
            self.blank();
        }
        for _ in 0..=hashes {
            self.keep();
        }
        self.strings.push((start, content));
    }

    /// `'x'` and `'\n'` are characters, `'a` alone is a lifetime.
    fn char_or_lifetime(&mut self) {
        match (self.peek(1), self.peek(2)) {
            (Some('\\'), _) => {
                self.keep();
                self.blank();
                self.blank();
                self.blank_while(|scanner| scanner.peek(0) != Some('\''));
                self.keep();
            }
            (Some(_), Some('\'')) => {
                self.keep();
                self.blank();
                self.keep();
            }
            _ => self.keep(),
        }
    }
}

fn without_tests(code: String, strings: Vec<(usize, String)>) -> Lexed {
    let mut tests = Vec::new();
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = end_of_item(&code, start);
        tests.push(start..end);
        from = end;
    }
    let mut kept = String::with_capacity(code.len());
    let mut at = 0;
    for test in &tests {
        kept.push_str(&code[at..test.start]);
        kept.extend(code[test.clone()].chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        at = test.end;
    }
    kept.push_str(&code[at..]);
    let outside = strings.into_iter().filter(|(start, _)| !tests.iter().any(|test| test.contains(start)));
    let strings = outside.map(|(start, content)| (line_of(&code, start), content)).collect();
    Lexed { code: kept, strings }
}

/// The end of the item that the attribute at `start` stands before: its `;`, or the brace that closes it.
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

    fn strings(text: &str) -> Vec<(usize, String)> {
        lex(text).strings
    }

    fn string(line: usize, content: &str) -> (usize, String) {
        (line, content.to_owned())
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a(\"x // y\"); // b\nc /* d /* e */ \" */ f";
        let lexed = lex(text);
        assert_eq!(lexed.code, format!("a(\"      \");     \nc{}f", " ".repeat(19)));
        assert_eq!(lexed.strings, [string(1, "x // y")]);
        assert_eq!(lexed.code.len(), text.len());
    }

    #[test]
    fn each_kind_of_string_ends_where_it_ends() {
        assert_eq!(strings(r##"f(r#"a " b"#, "c")"##), [string(1, "a \" b"), string(1, "c")]);
        assert_eq!(strings("\n br\"x\\\" + \"y\""), [string(2, "x\\"), string(2, "y")]);
        assert_eq!(strings(r#""a\"b" "c""#), [string(1, "a b"), string(1, "c")]);
        assert_eq!(strings("'\"' + \"x\" + '\\'' + \"y\""), [string(1, "x"), string(1, "y")]);
        assert_eq!(strings("fn f<'a>(x: &'a str) { \"x\" }"), [string(1, "x")]);
        assert_eq!(strings("r#type = \"x\""), [string(1, "x")]);
        assert_eq!(strings("\"no end"), [string(1, "no end")]);
    }

    #[test]
    fn tests_are_left_out_and_lines_stay() {
        let text =
            "use a;\n#[cfg(test)]\nmod tests {\n  fn f() { \"in\" }\n}\nfn g() { \"out\" }\n#[cfg(test)]\nmod more;\nh";
        let lexed = lex(text);
        assert_eq!(lexed.strings, [string(6, "out")]);
        let lines: Vec<&str> = lexed.code.lines().map(str::trim_end).collect();
        assert_eq!(lines, ["use a;", "", "", "", "", "fn g() { \"   \" }", "", "", "h"]);
    }
}
