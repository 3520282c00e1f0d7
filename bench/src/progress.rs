//! What a person sees while it measures: on a terminal a line that moves, else a line per step.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::time::Duration;

/// One line on the standard error, so that the standard output is the result alone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    moves: bool,
}

const TICK: Duration = Duration::from_millis(120);

impl Progress {
    /// Shown on the standard error.
    #[must_use]
    pub fn shown() -> Self {
        let moves = std::io::stderr().is_terminal();
        let bar = if moves { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if moves {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, moves }
    }

    /// Shown to nobody.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), moves: true }
    }

    /// What is being done now.
    pub fn says(&self, what: impl Into<String>) {
        let what = what.into();
        if !self.moves {
            eprintln!("  {what}");
        }
        self.bar.unset_length();
        self.bar.set_style(style("{spinner} {msg}"));
        self.bar.set_message(what);
    }

    /// What is being done now, `of` times.
    pub fn counts(&self, what: impl Into<String>, of: u64) {
        self.says(what);
        self.bar.set_style(style("{spinner} {msg} [{bar:30}] {human_pos}/{human_len}, {eta} left"));
        self.bar.set_length(of);
        self.bar.set_position(0);
        self.bar.reset_eta();
    }

    /// How often it is done so far.
    pub fn is_at(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// It was done so often more.
    pub fn adds(&self, more: usize) {
        self.bar.inc(more as u64);
    }

    /// A line that stays.
    pub fn tells(&self, line: &str) {
        if self.moves && !self.bar.is_hidden() {
            self.bar.println(line);
        } else if !self.moves {
            eprintln!("{line}");
        }
    }

    /// Takes the moving line away.
    pub fn ends(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}
