//! Whether a script can be run at all: asked before it is deployed.

use crate::guard::Guard;
use crate::isolate::Isolate;
use crate::limits::Limits;
use crate::sources::Source;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use tidegate_core::Failure;

/// How long a module's top level may take.
const CHECK_MAX: Duration = Duration::from_secs(1);
/// When a check is given up whose module is in a built-in that cannot be interrupted.
const GIVE_UP: Duration = Duration::from_secs(2);
/// More than the largest stack that a script may have.
const STACK_BYTES: usize = 4 << 20;

/// Why a script cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    /// What is wrong, and where.
    pub message: String,
    /// The line, from 1, if it is known.
    pub line: Option<u32>,
}

/// Compiles a module, evaluates its top level and looks for its default export. It blocks for up to two seconds.
pub fn check(name: &str, source: &str, limits: Limits) -> Result<(), CompileError> {
    if source.len() > limits.source_bytes_max {
        let message =
            format!("is {} bytes long; scripts.source_bytes_max allows {}", source.len(), limits.source_bytes_max);
        return Err(CompileError { message, line: None });
    }
    let (answer, answered) = mpsc::channel();
    let source = Source::new(name.to_owned(), 0, source.to_owned());
    let examination = move || {
        let guard = Guard::new(CHECK_MAX, CHECK_MAX, Arc::default());
        let examined = Isolate::new(&limits).and_then(|mut isolate| isolate.examine(&source, &guard));
        answer.send(examined).ok();
    };
    let thread = std::thread::Builder::new().name("tidegate-check".to_owned()).stack_size(STACK_BYTES);
    let failed = |message: &str| CompileError { message: message.to_owned(), line: None };
    thread.spawn(examination).map_err(|_| failed("no thread could be started to check it"))?;
    match answered.recv_timeout(GIVE_UP) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(Failure { message, .. })) => Err(CompileError { line: line(&message), message }),
        Err(_) => Err(failed("its top level does not end")),
    }
}

/// The first `name:line` of a stack.
fn line(message: &str) -> Option<u32> {
    let stack = message.split_once('\n')?.1;
    stack.split([':', ')', '\n', ' ']).find_map(|part| part.parse().ok())
}
