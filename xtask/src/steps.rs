//! Runs steps in order and times them. The first failure stops the run.

use std::fmt;
use std::time::{Duration, Instant};

/// The reason why a step failed, and the next step for the reader.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) problem: String,
    pub(crate) advice: String,
}

impl Failure {
    pub(crate) fn new(problem: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { problem: problem.into(), advice: advice.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed: {}\nnext step: {}", self.problem, self.advice)
    }
}

/// The line of a step in the summary, or its failure.
pub(crate) type StepResult = Result<String, Failure>;

/// A step. All steps of a run share the state `S`.
pub(crate) struct Step<S> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut S) -> StepResult,
}

/// Runs `steps` up to the first failure. Then prints a summary: each step with its duration, and
/// each entry of `left_out`.
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
            Ok(summary) => done.push((step.name, took, summary)),
            Err(failure) => {
                done.push((step.name, took, "FAILED".to_owned()));
                failed = Some(failure);
                break;
            }
        }
    }
    println!("\nsummary");
    for (name, took, summary) in &done {
        println!("  {name:<12} {:>8}  {summary}", seconds(*took));
    }
    for step in &steps[done.len()..] {
        println!("  {:<12} {:>8}", step.name, "not run");
    }
    for entry in left_out {
        println!("  left out: {entry}");
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
        Err(Failure::new("it broke", "fix it"))
    }

    #[test]
    fn the_first_failure_stops_the_run() {
        let steps = [("a", count as fn(&mut u32) -> StepResult), ("b", fail), ("c", count)];
        let steps = steps.map(|(name, run)| Step { name, run });
        let mut state = 0;
        let failure = super::run(&mut state, &steps, &[]).unwrap_err();
        assert_eq!(failure.to_string(), "failed: it broke\nnext step: fix it");
        assert_eq!(state, 1);
    }
}
