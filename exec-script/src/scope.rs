//! A script that runs: the context of its isolate, and everything that decides how the run ends.

use crate::failure::{thrown, thrown_value};
use crate::guard::Guard;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::prelude::Prelude;
use crate::rejections::Rejections;
use rquickjs::promise::{MaybePromise, PromiseState};
use rquickjs::{Ctx, Error, Value};
use tidegate_core::{ExecError, Failure};

pub(crate) struct Scope<'s, 'js> {
    pub(crate) ctx: Ctx<'js>,
    pub(crate) prelude: &'s Prelude,
    pub(crate) memory: &'s Memory,
    pub(crate) rejections: &'s Rejections,
    pub(crate) guard: &'s Guard,
    pub(crate) limits: &'s Limits,
}

impl<'js> Scope<'_, 'js> {
    /// The failure for an error of QuickJS.
    pub(crate) fn failure(&self, error: Error) -> Failure {
        thrown(&self.ctx, self.memory, error)
    }

    /// Waits for the promise that a script returned, and for all other work that the script
    /// started. Work that fails while no part of the script handles its error fails the run.
    ///
    /// The functions of the host block their thread. So a promise that is pending while no job is
    /// left can never settle.
    pub(crate) fn settle(&self, returned: Value<'js>) -> Result<Result<Value<'js>, Failure>, Error> {
        let promise = self.promise_of(returned)?;
        while promise.state() == PromiseState::Pending {
            if !self.run_job() {
                let message = "the handler's promise can never settle: no operation is left that could settle it";
                return Ok(Err(self.unhandled()?.unwrap_or_else(|| Failure::new(ExecError::ScriptError, message))));
            }
        }
        let value = promise.result::<Value<'js>>().unwrap_or(Err(Error::Unknown))?;
        Ok(self.finish()?.map(|()| value))
    }

    /// Runs the jobs that are left, and returns the first error that no part of the script handles.
    pub(crate) fn finish(&self) -> Result<Result<(), Failure>, Error> {
        while self.run_job() {}
        Ok(self.unhandled()?.map_or(Ok(()), Err))
    }

    /// Runs one job. Returns `false` if there is none, or if the execution has used up its time.
    fn run_job(&self) -> bool {
        self.guard.failure().is_none() && self.ctx.execute_pending_job()
    }

    fn unhandled(&self) -> Result<Option<Failure>, Error> {
        let Some(reason) = self.rejections.first(&self.ctx)? else { return Ok(None) };
        let failure = thrown_value(&self.ctx, self.memory, reason);
        Ok(Some(failure.with_note("The script did not await the promise that was rejected with this error.")))
    }

    /// A promise for `returned`, which may be a thenable: an object with a method `then`.
    fn promise_of(&self, returned: Value<'js>) -> Result<MaybePromise<'js>, Error> {
        let object = returned.as_object().filter(|_| !returned.is_promise());
        let then: Option<Value<'js>> = object.map(|object| object.get("then")).transpose()?;
        if !then.is_some_and(|then| then.is_function()) {
            return Ok(MaybePromise::from_value(returned));
        }
        let (promise, resolve, _) = self.ctx.promise()?;
        resolve.call::<_, ()>((returned,))?;
        Ok(MaybePromise::from_value(promise.into_value()))
    }

    /// Fails the run if the result of its handler shows that some of its code did not run.
    pub(crate) fn check_result(&self, result: &Value<'js>) -> Result<Result<(), Failure>, Error> {
        if !result.is_object() {
            return Ok(Ok(()));
        }
        let refusal = self.prelude.refuse_result(&self.ctx, result.clone())?;
        Ok(refusal.map_or(Ok(()), |reason| Err(Failure::new(ExecError::ScriptError, reason))))
    }
}
