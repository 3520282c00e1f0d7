//! Counts of the words that make prose hard to read.

use super::files::ProseFile;
use super::passage::Kind;
use std::fmt;

/// Counts over comments, docs and pages. Messages are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) words: usize,
    /// Uses of `what`, `who` and their forms.
    pub(crate) pronouns: usize,
    /// Uses of `nobody`, `somebody`, `anybody`.
    pub(crate) persons: usize,
    pub(crate) docs: usize,
    /// Doc comments of three words or fewer.
    pub(crate) short_docs: usize,
    pub(crate) hits: Vec<Hit>,
}

/// A line with a counted word, or the first line of a short doc comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The most uses of `what`, `who` and their forms per 1,000 words.
const PRONOUNS_MAX: f64 = 3.0;
/// The most uses of `nobody`, `somebody`, `anybody` per 1,000 words.
const PERSONS_MAX: f64 = 0.3;
/// The largest share of doc comments of three words or fewer, in percent.
const SHORT_DOCS_PERCENT_MAX: f64 = 2.0;
/// A doc comment of this many words or fewer repeats the name that it documents.
pub(crate) const SHORT_DOC_WORDS: usize = 3;

const PRONOUNS: &[&str] = &["what", "who", "whoever", "whom", "whomever", "whose", "whatever"];
const PERSONS: &[&str] = &["nobody", "somebody", "anybody", "someone", "anyone"];

impl Figures {
    /// The figures of one file.
    pub(crate) fn of(file: &ProseFile) -> Self {
        let mut figures = Self::default();
        for passage in file.passages.iter().filter(|passage| passage.kind != Kind::Message) {
            for word in passage.words().iter().filter(|word| !word.text.is_empty()) {
                figures.words += 1;
                let is_pronoun = PRONOUNS.contains(&word.text.as_str());
                let is_person = PERSONS.contains(&word.text.as_str());
                figures.pronouns += usize::from(is_pronoun);
                figures.persons += usize::from(is_person);
                if is_pronoun || is_person {
                    let line = passage.lines.iter().find(|line| line.number == word.line);
                    figures.hit(file, word.line, line.map_or("", |line| &line.text));
                }
            }
            if passage.kind == Kind::Doc {
                figures.docs += 1;
                if passage.length() <= SHORT_DOC_WORDS {
                    figures.short_docs += 1;
                    figures.hit(file, passage.first_line(), "short doc comment");
                }
            }
        }
        figures
    }

    fn hit(&mut self, file: &ProseFile, line: usize, text: &str) {
        self.hits.push(Hit { path: file.path.clone(), line, text: text.to_owned() });
    }

    /// Adds the counts of another file.
    pub(crate) fn add(&mut self, other: &Self) {
        self.words += other.words;
        self.pronouns += other.pronouns;
        self.persons += other.persons;
        self.docs += other.docs;
        self.short_docs += other.short_docs;
    }

    /// One sentence for each figure above its limit.
    pub(crate) fn excesses(&self) -> Vec<String> {
        let figures = [
            ("uses of `what` and `who` per 1,000 words", per_thousand(self.pronouns, self.words), PRONOUNS_MAX),
            ("uses of `nobody` and `somebody` per 1,000 words", per_thousand(self.persons, self.words), PERSONS_MAX),
            ("percent of doc comments have three words or fewer", self.short_docs_percent(), SHORT_DOCS_PERCENT_MAX),
        ];
        let excesses = figures.into_iter().filter(|(_, figure, limit)| figure > limit);
        excesses.map(|(name, figure, limit)| format!("{figure:.2} {name}; the limit is {limit}")).collect()
    }

    fn short_docs_percent(&self) -> f64 {
        self.short_docs as f64 * 100.0 / self.docs.max(1) as f64
    }
}

fn per_thousand(count: usize, words: usize) -> f64 {
    count as f64 * 1_000.0 / words.max(1) as f64
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} words; `what` {:>4.1}, `nobody` {:>4.2} per 1,000 words; short docs {:>4.1} % of {}",
            self.words,
            per_thousand(self.pronouns, self.words),
            per_thousand(self.persons, self.words),
            self.short_docs_percent(),
            self.docs
        )
    }
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_counted_and_strings_are_not() {
        let text = "/// Two words.\nfn f() { \"who knows what nobody knows\" }\n// What nobody's lease says.\n";
        let figures = Figures::of(&ProseFile::new("core/src/a.rs", text));
        let counts = (figures.words, figures.pronouns, figures.persons, figures.docs, figures.short_docs);
        assert_eq!(counts, (6, 1, 1, 1, 1));
        let hits: Vec<_> = figures.hits.iter().map(ToString::to_string).collect();
        let line = "core/src/a.rs:3: What nobody's lease says.";
        assert_eq!(hits, ["core/src/a.rs:1: short doc comment", line, line]);
    }

    #[test]
    fn each_figure_has_a_limit() {
        let fine = Figures { words: 10_000, pronouns: 30, persons: 3, docs: 100, short_docs: 2, ..Figures::default() };
        assert_eq!(fine.excesses(), Vec::<String>::new());
        assert_eq!(Figures { pronouns: 31, ..fine.clone() }.excesses().len(), 1);
        assert_eq!(Figures { persons: 4, ..fine.clone() }.excesses().len(), 1);
        assert_eq!(Figures { short_docs: 3, ..fine }.excesses().len(), 1);
    }
}
