use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_core::{InboxId, Incarnation, SyncReply};
use tokio::sync::oneshot;

/// Hands replies to those who wait for them.
pub trait InboxResolver: Send + Sync + 'static {
    /// Hands `reply` to whoever waits at `inbox`.
    fn deliver(&self, inbox: InboxId, reply: SyncReply) -> impl Future<Output = ReplyOutcome> + Send;
}

/// What became of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyOutcome {
    /// Its receiver has it.
    Delivered,
    /// There is no receiver, or not any more.
    Abandoned,
}

/// The resolver of a daemon that takes no calls: nobody waits here.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoopInboxResolver;

impl InboxResolver for NoopInboxResolver {
    async fn deliver(&self, _: InboxId, _: SyncReply) -> ReplyOutcome {
        ReplyOutcome::Abandoned
    }
}

/// The inboxes of one process: each is a caller that holds a connection to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct InboxRegistry {
    incarnation: Incarnation,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    opened: u64,
    waiting: BTreeMap<u64, oneshot::Sender<(SyncReply, Receipt)>>,
}

/// Comes with a reply. A reply counts as delivered when whoever got it says so, and as abandoned if this is dropped before.
#[derive(Debug)]
pub struct Receipt(oneshot::Sender<()>);

impl Receipt {
    /// The reply is where it belongs.
    pub fn confirm(self) {
        // The resolver may have ended.
        self.0.send(()).ok();
    }
}

impl InboxRegistry {
    /// No inboxes. `incarnation` is that of the dispatcher that answers.
    #[must_use]
    pub fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, shared: Arc::default() }
    }

    /// A new inbox, and where its reply comes out. A receiver that is dropped has left.
    #[must_use]
    pub fn open(&self) -> (InboxId, oneshot::Receiver<(SyncReply, Receipt)>) {
        let (sender, receiver) = oneshot::channel();
        let mut shared = self.lock();
        shared.opened += 1;
        let seq = shared.opened;
        shared.waiting.insert(seq, sender);
        (InboxId { incarnation: self.incarnation, seq }, receiver)
    }

    /// Nobody waits at `inbox` any more.
    pub fn close(&self, inbox: InboxId) {
        self.lock().waiting.remove(&inbox.seq);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        // A panic while holding this lock leaves nothing half done.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InboxResolver for InboxRegistry {
    async fn deliver(&self, inbox: InboxId, reply: SyncReply) -> ReplyOutcome {
        let sender = if inbox.incarnation == self.incarnation { self.lock().waiting.remove(&inbox.seq) } else { None };
        let (receipt, signed) = oneshot::channel();
        if sender.is_none_or(|sender| sender.send((reply, Receipt(receipt))).is_err()) {
            return ReplyOutcome::Abandoned;
        }
        if signed.await.is_ok() { ReplyOutcome::Delivered } else { ReplyOutcome::Abandoned }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> SyncReply {
        SyncReply { execution: None, result: Ok(None) }
    }

    #[tokio::test]
    async fn a_reply_reaches_who_waits_and_nobody_else() {
        let registry = InboxRegistry::new(Incarnation(uuid::Uuid::from_u128(1)));
        let (inbox, waiting) = registry.open();
        let (left, gone) = registry.open();
        drop(gone);
        let of_another = InboxId { incarnation: Incarnation(uuid::Uuid::from_u128(2)), ..inbox };

        assert_eq!(registry.deliver(of_another, reply()).await, ReplyOutcome::Abandoned);
        assert_eq!(registry.deliver(left, reply()).await, ReplyOutcome::Abandoned);
        let receives = async {
            let (got, receipt) = waiting.await.unwrap();
            receipt.confirm();
            got
        };
        assert_eq!(tokio::join!(registry.deliver(inbox, reply()), receives), (ReplyOutcome::Delivered, reply()));
        assert_eq!(registry.deliver(inbox, reply()).await, ReplyOutcome::Abandoned, "a second time there is nobody");
        assert_eq!(NoopInboxResolver.deliver(inbox, reply()).await, ReplyOutcome::Abandoned);
    }

    #[tokio::test]
    async fn a_reply_that_is_taken_and_not_signed_for_is_abandoned() {
        let registry = InboxRegistry::new(Incarnation(uuid::Uuid::from_u128(1)));
        let (inbox, waiting) = registry.open();
        let takes = async { drop(waiting.await) };
        assert_eq!(tokio::join!(registry.deliver(inbox, reply()), takes).0, ReplyOutcome::Abandoned);
    }
}
