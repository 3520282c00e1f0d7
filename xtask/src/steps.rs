//! Steps in a row: each announced by number and name, timed, and the first that fails is the last.

use std::fmt;
use std::time::{Duration, Instant};

/// Why a step failed, and what whoever reads it can do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) advice: String,
}

impl Failure {
    pub(crate) fn new(what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { what: what.into(), advice: advice.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed: {}\nwhat to do: {}", self.what, self.advice)
    }
}

/// What a step that went well has to say in the summary.
pub(crate) type StepResult = Result<String, Failure>;

/// A step, with the state `S` that it shares with the others.
pub(crate) struct Step<S> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut S) -> StepResult,
}

/// Runs `steps` up to the first that fails, then says what ran, how long it took, and what was `left_out` and why.
pub(crate) fn run<S>(state: &mut S, steps: &[Step<S>], left_out: &[String]) -> Result<(), Failure> {
    let start = Instant::now();
    let mut done = Vec::new();
    let mut failed = None;
    for (index, step) in steps.iter().enumerate() {
        println!("\n[{}/{}] {}", index + 1, steps.len(), step.name);
        let step_start = Instant::now();
        let result = (step.run)(state);
        let took = step_start.elapsed();
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        println!("[{}/{}] {}: {verdict}, {}", index + 1, steps.len(), step.name, seconds(took));
        match result {
            Ok(said) => done.push((step.name, took, said)),
            Err(failure) => {
                done.push((step.name, took, "FAILED".to_owned()));
                failed = Some(failure);
                break;
            }
        }
    }
    println!("\nsummary");
    for (name, took, said) in &done {
        println!("  {name:<12} {:>8}  {said}", seconds(*took));
    }
    for step in &steps[done.len()..] {
        println!("  {:<12} {:>8}", step.name, "not run");
    }
    for what in left_out {
        println!("  left out: {what}");
    }
    println!("  {:<12} {:>8}", "in total", seconds(start.elapsed()));
    failed.map_or(Ok(()), Err)
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(state: &mut u32) -> StepResult {
        *state += 1;
        Ok(String::new())
    }

    fn fail(_: &mut u32) -> StepResult {
        Err(Failure::new("it broke", "mend it"))
    }

    #[test]
    fn the_first_failure_is_the_last_step() {
        let steps = [("a", count as fn(&mut u32) -> StepResult), ("b", fail), ("c", count)];
        let steps = steps.map(|(name, run)| Step { name, run });
        let mut state = 0;
        let failure = super::run(&mut state, &steps, &[]).unwrap_err();
        assert_eq!(failure.to_string(), "failed: it broke\nwhat to do: mend it");
        assert_eq!(state, 1);
    }
}
