//! Passages: lines of prose that belong together, with their places.

/// The kind of prose, which decides the rules that apply to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A comment that no documentation shows.
    Comment,
    /// A doc comment of Rust.
    Doc,
    /// A paragraph of a Markdown file.
    Page,
    /// A string literal of three words or more. The figures leave it out.
    Message,
}

/// Consecutive lines of the same kind: a phrase may begin on one and end on the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) kind: Kind,
    pub(crate) lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The line of the file, counted from 1.
    pub(crate) number: usize,
    pub(crate) text: String,
}

/// A word of a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) line: usize,
    /// In lower case, without the `'s` of a possessive. Empty for a mark that ends a phrase, such
    /// as a full stop.
    pub(crate) text: String,
}

impl Passage {
    pub(crate) fn first_line(&self) -> usize {
        self.lines.first().map_or(0, |line| line.number)
    }

    pub(super) fn last_line(&self) -> usize {
        self.lines.last().map_or(0, |line| line.number)
    }

    /// The words, without code in backquotes and without links' targets.
    pub(crate) fn words(&self) -> Vec<Word> {
        let mut words = Vec::new();
        let mut in_code = false;
        for line in &self.lines {
            let end = || Word { line: line.number, text: String::new() };
            for (index, part) in line.text.split('`').enumerate() {
                if index > 0 {
                    in_code = !in_code;
                    words.push(end());
                }
                if !in_code {
                    part.split_whitespace().for_each(|token| split(token, line.number, &mut words));
                }
            }
            // An empty line ends a paragraph, and a backquote without its partner.
            if line.text.is_empty() {
                words.push(end());
                in_code = false;
            }
        }
        words
    }

    /// The number of words. Each name and number in backquotes counts, so that `1.0` is two words.
    pub(crate) fn length(&self) -> usize {
        let words = self.lines.iter().flat_map(|line| line.text.split(|char| !is_word_part(char)));
        words.filter(|word| word.contains(char::is_alphanumeric)).count()
    }
}

fn split(token: &str, line: usize, words: &mut Vec<Word>) {
    if token.contains("://") {
        return;
    }
    let mut rest = token;
    while !rest.is_empty() {
        let end = rest.find(|char| !is_word_part(char)).unwrap_or(rest.len());
        let word = rest[..end].trim_matches(['\'', '’', '-']).to_lowercase();
        let word = word.trim_end_matches("'s").trim_end_matches("’s");
        // The `s` of a possessive after code in backquotes is no word.
        if word.starts_with(char::is_alphabetic) && word != "s" {
            words.push(Word { line, text: word.to_owned() });
        }
        let mark = rest[end..].chars().next();
        words.extend(
            mark.is_some_and(|mark| !matches!(mark, '*' | '"' | '(' | ')' | '“' | '”'))
                .then(|| Word { line, text: String::new() }),
        );
        rest = &rest[end + mark.map_or(0, char::len_utf8)..];
    }
}

fn is_word_part(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '\'' | '’' | '-' | '_')
}
