/// A place that may break a rule, and why.
#[derive(Debug)]
pub(super) struct Exception {
    /// The rule's name, as a finding shows it in brackets.
    pub(super) rule: &'static str,
    /// The crate or the file, as a finding shows it.
    pub(super) place: &'static str,
    /// Why it is right here.
    pub(super) reason: &'static str,
}

/// All of them.
pub(super) const EXCEPTIONS: &[Exception] = &[];
