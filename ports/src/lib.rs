//! The ports of Tidegate: one small trait for each concern, the wake handle and the inboxes.
//!
//! The stores, the executors and the driver depend on this crate and not on each other.

mod apps;
mod clock;
mod dead_letters;
mod deliveries;
mod dispatch;
mod emitter;
mod error;
mod executor;
mod inbox;
mod inline_claim;
mod kv;
mod ledgers;
mod observer;
mod page;
mod principals;
mod queues;
mod retention;
mod scripts;
mod start_wait;
mod triggers;
mod wake;

pub use apps::{AppStore, AppSummary, Change, DeployReport, Deployment, DeploymentScript, TriggerRename};
pub use clock::{Clock, ProcessClock};
pub use dead_letters::{DeadLetter, DeadLetterFilter, DeadLetterStore, LetterBatch, LetterSelection, Resolution};
pub use deliveries::{DeliveryFilter, DeliveryState, DeliveryStore, DeliverySummary};
pub use dispatch::DispatchStore;
pub use emitter::{Emission, EmittedEvent, EventEmitter, NoopEventEmitter, OutboxEventEmitter, OutboxStore};
pub use error::PortError;
pub use executor::Executor;
pub use inbox::{InboxRegistry, InboxResolver, NoopInboxResolver, Receipt, ReplyOutcome};
pub use inline_claim::{InlineBatch, InlineClaimGuard};
pub use kv::{Guard, KvEntry, KvMutation, KvPage, KvStore};
pub use ledgers::{AbandonedExecution, LedgerStore, LoopEntry};
pub use observer::Observer;
pub use page::{Page, PageSize};
pub use principals::{
    Bearer, NewPrincipal, NewToken, PrincipalRecord, PrincipalResolver, PrincipalStore, SESSION_PREFIX, TokenRecord,
    TokenStore,
};
pub use queues::{QueueState, QueueStore};
pub use retention::{RecordKind, RetentionStore};
pub use scripts::{Script, ScriptStore};
pub use start_wait::StartWait;
pub use triggers::{InvalidTrigger, TriggerStore};
pub use wake::{WakeHandle, WakeUp};
