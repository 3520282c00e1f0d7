//! Progress on the standard error: a moving line on a terminal, otherwise one line for each step.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Writes to the standard error, so that the standard output holds only the result. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    bar: ProgressBar,
    moves: bool,
    /// The time of the last line. Unused if the line moves.
    printed_at: Arc<Mutex<Instant>>,
}

const TICK: Duration = Duration::from_millis(120);
/// Without a terminal, a step that takes longer prints its position once in this time.
const LINE_INTERVAL: Duration = Duration::from_secs(20);

impl Progress {
    /// Progress for a person.
    #[must_use]
    pub fn visible() -> Self {
        let moves = std::io::stderr().is_terminal();
        let bar = if moves { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if moves {
            bar.enable_steady_tick(TICK);
        }
        Self { bar, moves, printed_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Progress that is not shown.
    #[must_use]
    pub fn hidden() -> Self {
        Self { bar: ProgressBar::hidden(), moves: true, printed_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Shows the current step.
    pub fn show(&self, step: impl Into<String>) {
        let step = step.into();
        if !self.moves {
            eprintln!("  {step}");
            *self.printed_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
        self.bar.unset_length();
        self.bar.set_style(style("{spinner} {msg}"));
        self.bar.set_message(step);
    }

    /// Shows the current step with a bar of `length` items.
    pub fn show_bar(&self, step: impl Into<String>, length: u64) {
        self.show(step);
        self.bar.set_style(style("{spinner} {msg} [{bar:30}] {human_pos}/{human_len}, {eta} left"));
        self.bar.set_length(length);
        self.bar.set_position(0);
        self.bar.reset_eta();
    }

    /// Sets the number of finished items.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        self.print_position();
    }

    pub fn advance(&self, more: usize) {
        self.bar.inc(more as u64);
        self.print_position();
    }

    fn print_position(&self) {
        if self.moves {
            return;
        }
        let mut printed_at = self.printed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if printed_at.elapsed() >= LINE_INTERVAL {
            *printed_at = Instant::now();
            let length = self.bar.length().unwrap_or_default();
            eprintln!("  {}: {} of {length}", self.bar.message(), self.bar.position());
        }
    }

    /// Prints a line that stays.
    pub fn print_line(&self, line: &str) {
        if self.moves && !self.bar.is_hidden() {
            self.bar.println(line);
        } else if !self.moves {
            eprintln!("{line}");
        }
    }

    /// Removes the moving line.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}
