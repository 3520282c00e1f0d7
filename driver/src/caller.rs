//! Sync calls of this process. The dispatcher starts their executions, like all executions.

use crate::Command;
use std::sync::Arc;
use tidegate_core::{Cause, IdempotencyKey, InboxId, NewEvent, SyncCall, SyncReply, SyncTarget};
use tidegate_ports::{InboxRegistry, Receipt};
use tokio::sync::mpsc;

/// Makes sync calls to one dispatcher. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SyncCaller {
    commands: mpsc::Sender<Command>,
    inboxes: InboxRegistry,
}

/// The dispatcher has ended, so the call was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the dispatcher has ended; nothing was started; retry after the daemon has restarted")]
pub struct DispatcherEnded;

impl SyncCaller {
    /// `commands` must lead to the dispatcher that delivers its replies to `inboxes`.
    #[must_use]
    pub fn new(commands: mpsc::Sender<Command>, inboxes: InboxRegistry) -> Self {
        Self { commands, inboxes }
    }

    /// Makes a call and waits for the reply.
    ///
    /// Dropping the future means that the caller is gone. An execution that has started continues,
    /// and the store records it as abandoned.
    pub async fn call(&self, target: SyncTarget, event: NewEvent, cause: Cause) -> Result<SyncReply, DispatcherEnded> {
        self.call_with_key(target, event, cause, None).await
    }

    /// Like [`Self::call`], under an idempotency key. A repeated call gets the reply of the first
    /// call and starts no execution.
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

    /// Like [`Self::call_with_key`], for a caller that still has to send the reply to its client.
    /// Confirm the receipt after the client has the reply. A receipt that is dropped unconfirmed
    /// makes the execution abandoned.
    pub async fn call_with_receipt(
        &self,
        target: SyncTarget,
        event: NewEvent,
        cause: Cause,
        idempotency_key: Option<IdempotencyKey>,
    ) -> Result<(SyncReply, Receipt), DispatcherEnded> {
        let (inbox, reply) = self.inboxes.open();
        let mut guard = CallerGoneGuard { caller: self, inbox, is_waiting: true };
        let call = Arc::new(SyncCall { inbox, target, event, cause, idempotency_key });
        self.commands.send(Command::Call(call)).await.map_err(|_| DispatcherEnded)?;
        let reply = tokio::select! {
            biased;
            reply = reply => reply.map_err(|_| DispatcherEnded)?,
            // The dispatcher answers every call that it has received before it ends. This call
            // arrived too late.
            () = self.commands.closed() => return Err(DispatcherEnded),
        };
        guard.is_waiting = false;
        Ok(reply)
    }
}

/// Reports to the dispatcher that the caller is gone, if it is dropped before the reply.
struct CallerGoneGuard<'a> {
    caller: &'a SyncCaller,
    inbox: InboxId,
    is_waiting: bool,
}

impl Drop for CallerGoneGuard<'_> {
    fn drop(&mut self) {
        if self.is_waiting {
            self.caller.inboxes.close(self.inbox);
            // If the channel is full the command is lost. The reply then finds its inbox closed, so
            // the execution is abandoned. A call that still waits for a permit keeps its place.
            self.caller.commands.try_send(Command::CallerGone(self.inbox)).ok();
        }
    }
}
