//! The rejected promises of a script that nothing handles.
//!
//! QuickJS reports a promise when it is rejected without a handler, and again when a handler is
//! added later. A promise that is still unhandled when no job is left was never awaited.

use rquickjs::{Ctx, Error, Persistent, Runtime, Value};
use std::cell::RefCell;
use std::rc::Rc;

type Handle = Persistent<Value<'static>>;

/// The unhandled promises of one runtime with their reasons, in the order of the rejections.
#[derive(Default)]
pub(crate) struct Rejections(Rc<RefCell<Vec<(Handle, Handle)>>>);

impl Rejections {
    /// Tracks the promises of `runtime`.
    pub(crate) fn of(runtime: &Runtime) -> Self {
        let rejections = Self::default();
        let unhandled = Rc::clone(&rejections.0);
        runtime.set_host_promise_rejection_tracker(Some(Box::new(move |ctx, promise, reason, is_handled| {
            let promise = Persistent::save(&ctx, promise);
            if !is_handled {
                unhandled.borrow_mut().push((promise, Persistent::save(&ctx, reason)));
                return;
            }
            // The newest first: `await` handles nearly every promise right after its rejection.
            let at = unhandled.borrow().iter().rposition(|(rejected, _)| *rejected == promise);
            let handled = at.map(|at| unhandled.borrow_mut().remove(at));
            drop(handled);
        })));
        rejections
    }

    /// The reason of the first rejection that nothing has handled.
    pub(crate) fn first<'js>(&self, ctx: &Ctx<'js>) -> Result<Option<Value<'js>>, Error> {
        let first = self.0.borrow().first().map(|(_, reason)| reason.clone());
        first.map(|reason| reason.restore(ctx)).transpose()
    }

    /// Forgets all rejections, at the end of an execution.
    pub(crate) fn clear(&self) {
        let forgotten = std::mem::take(&mut *self.0.borrow_mut());
        drop(forgotten);
    }
}
