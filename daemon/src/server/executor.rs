//! Runs each delivery by its handler: a script, or a native function of the embedding program.

use crate::services::AdminPrincipalResolver;
use crate::{NativeContext, NativeHandlers};
use std::sync::Arc;
use std::time::Duration;
use tidegate_core::{Delivery, ExecError, Failure, Handler, Outcome};
use tidegate_driver::SyncCaller;
use tidegate_exec_script::{ScriptExecutor, acting};
use tidegate_ports::{Executor, StartWait};

#[derive(Debug)]
pub(super) struct HandlerExecutor {
    pub(super) scripts: Arc<ScriptExecutor>,
    pub(super) native: NativeHandlers,
    pub(super) caller: SyncCaller,
    pub(super) resolver: Arc<AdminPrincipalResolver>,
}

impl Executor for HandlerExecutor {
    async fn execute(&self, delivery: Arc<Delivery>, start_wait: &StartWait) -> Outcome {
        let missing = |message: String| Outcome::Failed(Failure::new(ExecError::HandlerMissing, message));
        match delivery.handler.clone() {
            Some(Handler::Script(_)) => self.scripts.execute(delivery, start_wait).await,
            Some(Handler::Native(name)) => {
                let limit = delivery.timeout;
                let standing = acting(&*self.resolver, &delivery).await;
                start_wait.end();
                if let Err(outcome) = standing {
                    return outcome;
                }
                match self.native.run(name.as_str(), NativeContext::new(delivery, self.caller.clone())) {
                    Some(execution) => within(Duration::from_micros(limit.0), execution).await,
                    None => missing(format!("this program has no native handler {name}")),
                }
            }
            Some(Handler::Webhook(_)) => missing("this version does not support webhooks".to_owned()),
            None => missing("the trigger was deleted while the delivery waited".to_owned()),
        }
    }
}

async fn within(limit: Duration, execution: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(limit, execution).await.unwrap_or_else(|_| {
        let message = format!("the execution took longer than the trigger's timeout_ms of {} ms", limit.as_millis());
        Outcome::Failed(Failure::new(ExecError::Timeout, message))
    })
}
