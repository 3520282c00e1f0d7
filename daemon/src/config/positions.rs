use std::ops::Range;
use toml::de::DeTable;

/// Converts byte offsets of a text to line numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Positions<'t> {
    text: &'t str,
}

impl<'t> Positions<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self { text }
    }

    /// The line in which `span` begins, counted from 1.
    pub(crate) fn line(self, span: &Range<usize>) -> usize {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Parses a TOML text with the position of each key and value. The error is a line and a message.
pub(crate) fn parse_toml(text: &str) -> Result<DeTable<'_>, (usize, String)> {
    DeTable::parse(text).map(toml::Spanned::into_inner).map_err(|error| {
        let line = error.span().map_or(1, |span| Positions::of(text).line(&span));
        (line, error.message().to_owned())
    })
}
