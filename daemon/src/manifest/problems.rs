use crate::config::Positions;
use std::cell::RefCell;
use std::ops::Range;

/// The problems of a manifest, collected while it is read.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    positions: Positions<'t>,
    /// The line and the message. Line 0 is a problem outside the manifest.
    found: RefCell<Vec<(usize, String)>>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(positions: Positions<'t>) -> Self {
        Self { positions, found: RefCell::default() }
    }

    /// Adds a problem outside the manifest. `message` contains the place.
    pub(super) fn add(&self, message: String) {
        self.found.borrow_mut().push((0, message));
    }

    pub(super) fn at(&self, span: &Range<usize>, message: impl AsRef<str>) {
        self.at_line(self.positions.line(span), message);
    }

    pub(super) fn at_line(&self, line: usize, message: impl AsRef<str>) {
        self.found.borrow_mut().push((line, format!("line {line}: {}", message.as_ref())));
    }

    /// The messages in the order of their lines.
    pub(super) fn into_sorted(self) -> Vec<String> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(line, _)| *line);
        found.into_iter().map(|(_, message)| message).collect()
    }
}
