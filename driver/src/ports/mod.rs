//! What Tidegate asks of the world: one small trait per concern, each with two real implementations or more.

mod apps;
mod clock;
mod dead_letters;
mod deliveries;
mod dispatch;
mod emitter;
mod error;
mod executor;
mod inbox;
mod kv;
mod ledgers;
mod principals;
mod queues;
mod scripts;
mod triggers;

pub use apps::{AppStore, AppSummary, Change, DeployReport, Deployment, DeploymentScript};
pub use clock::{Clock, ProcessClock};
pub use dead_letters::{DeadLetter, DeadLetterFilter, DeadLetterStore, LetterBatch, LetterSelection, Resolution};
pub use deliveries::{DeliveryFilter, DeliveryState, DeliveryStore, DeliverySummary};
pub use dispatch::DispatchStore;
pub use emitter::{Emission, Emitted, EventEmitter, NoopEventEmitter, OutboxEventEmitter, OutboxStore};
pub use error::PortError;
pub use executor::Executor;
pub use inbox::{Delivered, InboxRegistry, InboxResolver, NoopInboxResolver, Receipt};
pub use kv::{Guard, KvEntry, KvPage, KvStore, Mutated};
pub use ledgers::{AbandonedExecution, LedgerStore, LoopEntry};
pub use principals::{
    Bearer, NewPrincipal, NewToken, PrincipalRecord, PrincipalResolver, PrincipalStore, TokenRecord, TokenStore,
};
pub use queues::{QueueState, QueueStore};
pub use scripts::{Script, ScriptStore};
pub use triggers::TriggerStore;
