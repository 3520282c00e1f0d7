//! Patterns for names. A `*` matches any number of characters, including none. All other characters
//! match themselves. A pattern matches the whole text and is case-sensitive.
//!
//! A pattern must match the same texts here, in SQLite (`GLOB` with `?` and `[` escaped) and in
//! Postgres (`LIKE` with `\`, `%` and `_` escaped). Each SQL store has a property test that
//! compares its matches with those of [`Pattern::matches`].

use serde::{Deserialize, Serialize};
use std::fmt;

/// A pattern whose text was validated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// The reason why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// An empty pattern would match only the empty text. Write `*` to match everything.
    #[error("the pattern is empty; use \"*\" to match everything")]
    Empty,
    /// The pattern is longer than [`Pattern::LEN_MAX`] bytes.
    #[error("the pattern is {0} bytes long; at most {max} are allowed", max = Pattern::LEN_MAX)]
    TooLong(usize),
    /// No name contains a control character, so the pattern could never match.
    #[error("the pattern contains a control character")]
    Control,
    /// The pattern has more `*` than [`Pattern::STARS_MAX`]. In a database that backtracks, each
    /// `*` can cost another pass over the text.
    #[error("the pattern has {0} '*'; at most {max} are allowed", max = Pattern::STARS_MAX)]
    TooManyStars(usize),
}

impl Pattern {
    /// The most bytes of a pattern.
    pub const LEN_MAX: usize = 256;
    /// The most `*` of a pattern.
    pub const STARS_MAX: usize = 8;

    pub fn new(text: impl Into<String>) -> Result<Self, InvalidPattern> {
        let text = text.into();
        let stars = text.bytes().filter(|b| *b == b'*').count();
        match () {
            () if text.is_empty() => Err(InvalidPattern::Empty),
            () if text.len() > Self::LEN_MAX => Err(InvalidPattern::TooLong(text.len())),
            () if text.chars().any(char::is_control) => Err(InvalidPattern::Control),
            () if stars > Self::STARS_MAX => Err(InvalidPattern::TooManyStars(stars)),
            () => Ok(Self(text)),
        }
    }

    /// The pattern that matches everything.
    #[must_use]
    pub fn any() -> Self {
        Self("*".to_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A part of the pattern that looks like another language of patterns: a regular expression, or
    /// `?`, `[…]` and `{…}` of a shell. Such a part has no special meaning here, so the pattern
    /// would match nothing.
    #[must_use]
    pub fn foreign_syntax(&self) -> Option<&'static str> {
        let text = self.0.as_str();
        let encloses = |open, close| text.find(open).is_some_and(|at| text[at..].contains(close));
        [
            ("?", text.contains('?')),
            ("|", text.contains('|')),
            ("\\", text.contains('\\')),
            ("[…]", encloses('[', ']')),
            ("{…}", encloses('{', '}')),
            (".+", text.contains(".+")),
            ("^", text.starts_with('^')),
            ("$", text.ends_with('$')),
        ]
        .into_iter()
        .find_map(|(part, is_there)| is_there.then_some(part))
    }

    /// Whether the pattern matches `text`. The time is linear in the text for each `*`, and there
    /// is no recursion.
    ///
    /// Each literal between two stars is matched at its first occurrence. This loses no match,
    /// because a later occurrence leaves less text for the rest of the pattern.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut literals = self.0.split('*');
        let first = literals.next().expect("split returns at least one piece");
        let Some(mut rest) = text.strip_prefix(first) else { return false };
        let Some(mut literal) = literals.next() else { return rest.is_empty() };
        for next in literals {
            let Some(at) = rest.find(literal) else { return false };
            rest = &rest[at + literal.len()..];
            literal = next;
        }
        rest.ends_with(literal)
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;
    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        Self::new(text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_match_the_listed_texts() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "anything", true),
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("a*", "a", true),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a**b", "ab", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("bad-*", "bad-1", true),
            ("%_", "%_", true),
            ("%_", "ab", false),
            ("?", "a", false),
            ("[a]", "a", false),
            ("\\", "\\", true),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().matches(text), expected, "{pattern:?} on {text:?}");
        }
    }

    #[test]
    fn patterns_of_other_languages_are_found() {
        for (pattern, part) in [
            ("order.*", None),
            ("a+b$c^d (1) {", None),
            ("orders?", Some("?")),
            ("(a|b)", Some("|")),
            ("\\d", Some("\\")),
            ("[0-9]*", Some("[…]")),
            ("{a,b}", Some("{…}")),
            (".+", Some(".+")),
            ("^order*", Some("^")),
            ("*order$", Some("$")),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().foreign_syntax(), part, "{pattern}");
        }
    }

    #[test]
    fn invalid_patterns_are_refused() {
        assert_eq!(Pattern::new(""), Err(InvalidPattern::Empty));
        assert_eq!(Pattern::new("x".repeat(257)), Err(InvalidPattern::TooLong(257)));
        assert_eq!(Pattern::new("a\u{0}"), Err(InvalidPattern::Control));
        assert_eq!(Pattern::new("*".repeat(9)), Err(InvalidPattern::TooManyStars(9)));
    }

    /// The definition of a match, written as a recursion.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((&'*', rest)) => (0..=text.len()).any(|n| reference(rest, &text[n..])),
            Some((literal, rest)) => text.split_first().is_some_and(|(c, text)| c == literal && reference(rest, text)),
        }
    }

    proptest! {
        #[test]
        fn matches_agrees_with_the_recursive_definition(pattern in "[ab*é%_]{1,8}", text in "[abé%_]{0,10}") {
            let expected = reference(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::new(pattern).unwrap().matches(&text), expected);
        }
    }
}
