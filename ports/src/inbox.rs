use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{InboxId, Incarnation, SyncReply};
use tokio::sync::oneshot;

/// Delivers replies to sync callers.
pub trait InboxResolver: Send + Sync + 'static {
    /// Delivers `reply` to the caller that waits at `inbox`.
    fn deliver(&self, inbox: InboxId, reply: SyncReply) -> impl Future<Output = ReplyOutcome> + Send;
}

/// Whether a reply reached its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyOutcome {
    /// The caller has confirmed the reply.
    Delivered,
    /// No caller waits at the inbox, or the caller was gone before it confirmed the reply.
    Abandoned,
}

/// The resolver of a process without sync callers. It abandons every reply.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopInboxResolver;

impl InboxResolver for NoopInboxResolver {
    async fn deliver(&self, _: InboxId, _: SyncReply) -> ReplyOutcome {
        ReplyOutcome::Abandoned
    }
}

/// The open inboxes of one process. Each belongs to one sync caller. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InboxRegistry {
    incarnation: Incarnation,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    last_seq: u64,
    callers: BTreeMap<u64, oneshot::Sender<(SyncReply, Receipt)>>,
}

/// The receipt that a caller gets with its reply. The reply counts as delivered after
/// [`Receipt::confirm`], and as abandoned if the receipt is dropped without it.
#[derive(Debug)]
pub struct Receipt(oneshot::Sender<()>);

impl Receipt {
    /// Confirms that the caller has the reply.
    pub fn confirm(self) {
        // The task that delivers the reply may have ended.
        self.0.send(()).ok();
    }
}

impl InboxRegistry {
    /// A registry without inboxes, for the dispatcher of `incarnation`.
    #[must_use]
    pub fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, shared: Arc::default() }
    }

    /// Opens an inbox and returns the receiver of its reply. Dropping the receiver means that the
    /// caller is gone.
    #[must_use]
    pub fn open(&self) -> (InboxId, oneshot::Receiver<(SyncReply, Receipt)>) {
        let (sender, receiver) = oneshot::channel();
        let mut shared = self.lock();
        shared.last_seq += 1;
        let seq = shared.last_seq;
        shared.callers.insert(seq, sender);
        (InboxId { incarnation: self.incarnation, seq }, receiver)
    }

    /// Closes `inbox`, because its caller no longer waits.
    pub fn close(&self, inbox: InboxId) {
        self.lock().callers.remove(&inbox.seq);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // A panic while holding this lock leaves the state consistent.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InboxResolver for InboxRegistry {
    async fn deliver(&self, inbox: InboxId, reply: SyncReply) -> ReplyOutcome {
        let sender = if inbox.incarnation == self.incarnation { self.lock().callers.remove(&inbox.seq) } else { None };
        let (receipt, confirmation) = oneshot::channel();
        if sender.is_none_or(|sender| sender.send((reply, Receipt(receipt))).is_err()) {
            return ReplyOutcome::Abandoned;
        }
        if confirmation.await.is_ok() { ReplyOutcome::Delivered } else { ReplyOutcome::Abandoned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> SyncReply {
        SyncReply { execution: None, result: Ok(None) }
    }

    #[tokio::test]
    async fn a_reply_reaches_only_the_caller_of_its_inbox() {
        let registry = InboxRegistry::new(Incarnation(uuid::Uuid::from_u128(1)));
        let (inbox, receiver) = registry.open();
        let (closed_inbox, closed_receiver) = registry.open();
        drop(closed_receiver);
        let foreign_inbox = InboxId { incarnation: Incarnation(uuid::Uuid::from_u128(2)), ..inbox };

        assert_eq!(registry.deliver(foreign_inbox, reply()).await, ReplyOutcome::Abandoned);
        assert_eq!(registry.deliver(closed_inbox, reply()).await, ReplyOutcome::Abandoned);
        let caller = async {
            let (reply, receipt) = receiver.await.unwrap();
            receipt.confirm();
            reply
        };
        assert_eq!(tokio::join!(registry.deliver(inbox, reply()), caller), (ReplyOutcome::Delivered, reply()));
        assert_eq!(
            registry.deliver(inbox, reply()).await,
            ReplyOutcome::Abandoned,
            "the inbox is closed after its reply"
        );
        assert_eq!(NoopInboxResolver.deliver(inbox, reply()).await, ReplyOutcome::Abandoned);
    }

    #[tokio::test]
    async fn a_reply_whose_receipt_is_dropped_is_abandoned() {
        let registry = InboxRegistry::new(Incarnation(uuid::Uuid::from_u128(1)));
        let (inbox, receiver) = registry.open();
        let caller = async { drop(receiver.await) };
        assert_eq!(tokio::join!(registry.deliver(inbox, reply()), caller).0, ReplyOutcome::Abandoned);
    }
}
