//! One execution on its thread: in a warm isolate if it may have one and there is one, else in one without a script.

use crate::guard::Guard;
use crate::host::Host;
use crate::isolate::Isolate;
use crate::limits::Limits;
use crate::pool::Pause;
use crate::reply::Answer;
use crate::shelf::{Key, Shelf, UsedUp};
use crate::sources::Source;
use crate::staged::Staged;
use std::sync::Arc;
use tidegate_core::{CloudEvent, Delivery, Outcome, Principal};
use tidegate_ports::KvStore;
use tokio::runtime::Handle;

/// All that a thread needs.
pub(crate) struct Execution {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) principal: Principal,
    pub(crate) source: Arc<Source>,
    /// What its isolate is kept for; `None` if it starts anew and is kept for nothing.
    pub(crate) key: Option<Key>,
    pub(crate) guard: Guard,
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) limits: Limits,
    pub(crate) runtime: Handle,
}

impl Execution {
    /// Runs it, and puts its isolate on the shelf if that may be used again as it is; if not, hands it back.
    pub(crate) fn run(self, shelf: &mut Shelf, pause: Pause) -> (Outcome, Option<UsedUp>) {
        let Self { delivery, principal, source, key, guard, kv, limits, runtime } = self;
        if let Some(failure) = guard.refusal() {
            return (Outcome::Failed(failure), None);
        }
        let isolate = match &key {
            Some(key) => shelf.take(key).map_or_else(|| Isolate::new(&limits), Ok),
            None => shelf.take_blank().map_or_else(|| Isolate::renewable(&limits), Ok),
        };
        let mut isolate = match isolate {
            Ok(isolate) => isolate,
            Err(failure) => return (Outcome::Failed(failure), None),
        };
        // Not by way of a `Value`, so that the data's text goes through as it is.
        let event = serde_json::to_string(&CloudEvent::from(&delivery.event)).unwrap_or_default();
        let answer = Answer::of(&delivery);
        let host = Host {
            delivery,
            principal,
            kv,
            runtime,
            pause,
            limits,
            deadline: guard.deadline,
            cancelled: Arc::clone(&guard.cancelled),
            staged: Staged::default(),
            logged: 0,
        };
        let (host, result) = isolate.execute(&source, &event, host, &guard, answer);
        let staged = host.map(|host| host.staged).unwrap_or_default();
        match (result, key) {
            (Ok(reply), Some(key)) if isolate.is_fit() => {
                shelf.put(key, isolate);
                (Outcome::Succeeded { effects: staged.into_effects(), reply }, None)
            }
            (Ok(reply), key) => {
                let used_up = if key.is_none() { UsedUp::Renew(isolate) } else { UsedUp::Drop(isolate) };
                (Outcome::Succeeded { effects: staged.into_effects(), reply }, Some(used_up))
            }
            (Err(failure), _) => (Outcome::Failed(failure), Some(UsedUp::Drop(isolate))),
        }
    }
}
