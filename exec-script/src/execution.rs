//! One execution on its thread. It takes a warm isolate if there is one, else it starts in an
//! isolate without a script.

use crate::console::Console;
use crate::guard::Guard;
use crate::host::Host;
use crate::isolate::{HandlerCall, Isolate};
use crate::isolate_cache::{CacheKey, IsolateCache, UsedIsolate};
use crate::limits::Limits;
use crate::pool::Pause;
use crate::reply::ReplyKind;
use crate::sources::Source;
use crate::staged::Staged;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tidegate_core::{CloudEvent, Delivery, Outcome, Principal};
use tidegate_ports::KvStore;
use tokio::runtime::Handle;

pub(crate) struct Execution {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) principal: Principal,
    pub(crate) source: Arc<Source>,
    /// The key of its warm isolate. `None` if the execution starts fresh, and its isolate is not
    /// kept warm.
    pub(crate) key: Option<CacheKey>,
    /// Becomes true when the execution is cancelled.
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) limits: Limits,
    pub(crate) runtime: Handle,
}

impl Execution {
    /// Runs the script. An isolate that may run again is put back into the cache. Any other isolate
    /// is returned, so that the caller can report the outcome before it disposes of the isolate.
    pub(crate) fn run(self, cache: &mut IsolateCache, pause: Pause) -> (Outcome, Option<UsedIsolate>) {
        let Self { delivery, principal, source, key, cancelled, kv, limits, runtime } = self;
        let not_started = |reason| (Outcome::NotStarted { reason }, None);
        if cancelled.load(Ordering::Relaxed) {
            return not_started("the execution was cancelled".to_owned());
        }
        let isolate = match &key {
            Some(key) => cache.take_warm(key).map_or_else(|| Isolate::new(&limits), Ok),
            None => cache.take_blank().map_or_else(|| Isolate::restorable(&limits), Ok),
        };
        let mut isolate = match isolate {
            Ok(isolate) => isolate,
            Err(failure) => return not_started(failure.message),
        };
        // The timeout counts from here, when the script has a thread.
        let guard = Guard::new(Duration::from_micros(delivery.timeout.0), limits.cpu_max(), cancelled);
        // Serialized without a `Value` in between, so that the text of the data stays as it is.
        let event = serde_json::to_string(&CloudEvent::from(&delivery.event)).unwrap_or_default();
        let reply_kind = ReplyKind::of(&delivery);
        let host = Rc::new(RefCell::new(Host {
            delivery: Arc::clone(&delivery),
            principal,
            kv,
            runtime,
            pause,
            limits,
            memory: isolate.memory(),
            deadline: guard.deadline,
            cancelled: Arc::clone(&guard.cancelled),
            staged: Staged::default(),
            console: Console::default(),
        }));
        let called_host = Rc::clone(&host);
        let host_function = Box::new(move |op: &str, request: String| called_host.borrow_mut().call(op, request));
        let call = HandlerCall { source: &source, delivery: &delivery, event: &event, reply_kind };
        let reply = match isolate.execute(&call, host_function, &guard) {
            Ok(reply) => reply,
            Err(failure) => return (Outcome::Failed(failure), Some(UsedIsolate::Drop(isolate))),
        };
        let outcome = Outcome::Succeeded { effects: host.borrow_mut().take_effects(), reply };
        match key {
            Some(key) if isolate.may_run_again() => {
                cache.put_warm(key, isolate);
                (outcome, None)
            }
            Some(_) => (outcome, Some(UsedIsolate::Drop(isolate))),
            None => (outcome, Some(UsedIsolate::Restore(isolate))),
        }
    }
}
