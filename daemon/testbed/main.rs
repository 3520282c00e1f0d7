//! The program with native handlers that tests need: one that kills the process, some that take their time.

use std::process::ExitCode;
use std::time::Duration;
use tidegate::{NativeHandlers, main_with};
use tidegate_core::{Effects, ExecError, Failure, Outcome};

fn main() -> ExitCode {
    main_with(
        NativeHandlers::default()
            .with("abort", |_| async { std::process::abort() })
            .with("noop", |_| async { done() })
            .with("fail", |_| async { Outcome::Failed(Failure::new(ExecError::ScriptError, "it was told to fail")) })
            .with("sleep_20ms", |_| async { sleep(20).await })
            .with("sleep_200ms", |_| async { sleep(200).await }),
    )
}

fn done() -> Outcome {
    Outcome::Succeeded { effects: Effects::default(), reply: None }
}

async fn sleep(ms: u64) -> Outcome {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    done()
}
