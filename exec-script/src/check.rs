//! Checks that a script can run, before it is deployed.

use crate::guard::Guard;
use crate::isolate::Isolate;
use crate::limits::Limits;
use crate::sources::Source;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tidegate_core::{ExecError, Failure};

/// The most time that the top level of a module may take.
const TOP_LEVEL_MAX: Duration = Duration::from_secs(1);
/// The time after which a check fails. A module in a built-in function cannot be interrupted at
/// `TOP_LEVEL_MAX`.
const CHECK_MAX: Duration = Duration::from_secs(2);
/// More than the largest `scripts.stack_bytes_max`, which is 2 MiB.
const STACK_BYTES: usize = 4 << 20;

/// The reason why a script cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// The error and its place, for the author of the script.
    pub message: String,
    /// The line, counted from 1, if it is known.
    pub line: Option<u32>,
}

/// Compiles a module, evaluates its top level and looks for its default export. Blocks for up to
/// two seconds.
pub fn check(name: &str, source: &str, limits: Limits) -> Result<(), CompileError> {
    if source.len() > limits.source_bytes_max {
        let (length, max) = (source.len(), limits.source_bytes_max);
        let message = format!("the script is {length} bytes long; scripts.source_bytes_max allows {max}");
        return Err(CompileError { message, line: None });
    }
    let (result_sender, result) = mpsc::channel();
    let source = Source::new(name.to_owned(), 0, source.to_owned());
    let body = move || {
        let guard = Guard::new(TOP_LEVEL_MAX, TOP_LEVEL_MAX, Arc::default());
        let checked = Isolate::new(&limits).and_then(|mut isolate| isolate.check(&source, &guard));
        result_sender.send(checked).ok();
    };
    let thread = std::thread::Builder::new().name("tidegate-check".to_owned()).stack_size(STACK_BYTES);
    let failed = |message: &str| CompileError { message: message.to_owned(), line: None };
    thread.spawn(body).map_err(|_| failed("the system started no thread to check the script; try again"))?;
    match result.recv_timeout(CHECK_MAX) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Failure { error: ExecError::Timeout, .. })) => {
            Err(failed("the top level of the module did not end within 1 second"))
        }
        Ok(Err(Failure { message, .. })) => Err(CompileError { line: line_of(&message), message }),
        Err(_) => Err(failed("the top level of the module did not end within 2 seconds")),
    }
}

/// The line in the first `name:line` of a stack.
fn line_of(message: &str) -> Option<u32> {
    let stack = message.split_once('\n')?.1;
    stack.split([':', ')', '\n', ' ']).find_map(|part| part.parse().ok())
}
