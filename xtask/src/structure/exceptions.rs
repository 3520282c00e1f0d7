/// A place that may break a rule.
#[derive(Debug)]
pub(super) struct Exception {
    /// The rule's name, as a finding shows it in brackets.
    pub(super) rule: &'static str,
    /// A crate or a file, as a finding shows it. Or an item in a file, such as `function exchange`.
    pub(super) place: &'static str,
    pub(super) reason: &'static str,
}

pub(super) const EXCEPTIONS: &[Exception] = &[
    Exception {
        rule: "silenced-lint",
        place: "daemon/src/config/environment.rs",
        reason: "it is the only place that reads the environment",
    },
    Exception {
        rule: "plain-words",
        place: "xtask/src/prose/phrases.rs",
        reason: "it is the table of banned phrases, with its tests",
    },
];
