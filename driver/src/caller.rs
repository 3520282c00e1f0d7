//! How the rest of the process makes sync calls: through the dispatcher, like everything that runs.

use crate::Command;
use std::sync::Arc;
use tidegate_core::{Cause, IdempotencyKey, InboxId, NewEvent, SyncCall, SyncReply, SyncTarget};
use tidegate_ports::{InboxRegistry, Receipt};
use tokio::sync::mpsc;

/// Makes calls to one dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncCaller {
    commands: mpsc::Sender<Command>,
    inboxes: InboxRegistry,
}

/// The dispatcher has ended. Nothing was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dispatcher has ended; nothing was started")]
pub struct DispatcherEnded;

impl SyncCaller {
    /// `commands` leads to the dispatcher whose replies go to `inboxes`.
    #[must_use]
    pub fn new(commands: mpsc::Sender<Command>, inboxes: InboxRegistry) -> Self {
        Self { commands, inboxes }
    }

    /// Calls and waits for the reply. A future that is dropped is a caller who hung up: what was begun goes on, and is
    /// written down as abandoned.
    pub async fn call(&self, target: SyncTarget, event: NewEvent, cause: Cause) -> Result<SyncReply, DispatcherEnded> {
        self.call_with_key(target, event, cause, None).await
    }

    /// The same under an idempotency key: a repeated call gets the first one's reply, and runs nothing.
    pub async fn call_with_key(
        &self,
        target: SyncTarget,
        event: NewEvent,
        cause: Cause,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<SyncReply, DispatcherEnded> {
        let (reply, receipt) = self.call_with_receipt(target, event, cause, idempotency_key).await?;
        receipt.confirm();
        Ok(reply)
    }

    /// The same for somebody to whom the reply is still to be sent: the receipt is to be signed when it is.
    pub async fn call_with_receipt(
        &self,
        target: SyncTarget,
        event: NewEvent,
        cause: Cause,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<(SyncReply, Receipt), DispatcherEnded> {
        let (inbox, reply) = self.inboxes.open();
        let mut hang_up = HangUp { caller: self, inbox, waits: true };
        let call = Arc::new(SyncCall { inbox, target, event, cause, idempotency_key });
        self.commands.send(Command::Call(call)).await.map_err(|_| DispatcherEnded)?;
        let reply = tokio::select! {
            biased;
            reply = reply => reply.map_err(|_| DispatcherEnded)?,
            // It answers whoever waits before it ends, so this one came too late.
            () = self.commands.closed() => return Err(DispatcherEnded),
        };
        hang_up.waits = false;
        Ok(reply)
    }
}

/// Tells the dispatcher when nobody waits any more.
struct HangUp<'a> {
    caller: &'a SyncCaller,
    inbox: InboxId,
    waits: bool,
}

impl Drop for HangUp<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.caller.inboxes.close(self.inbox);
            // With too many commands waiting the reply finds the inbox closed all the same; only a call that still waits
            // for a permit then keeps its place for nothing.
            self.caller.commands.try_send(Command::CallerGone(self.inbox)).ok();
        }
    }
}
