//! What an isolate has before any script is loaded in it: `console`, `crypto`, and the makers of a handler's arguments.

use crate::bytecode::Compiled;
use crate::slot::Slot;
use rquickjs::function::{Args, Func};
use rquickjs::{Ctx, Error, Function, IntoJs, Object, Persistent, Value};
use std::rc::Rc;
use tidegate_core::Delivery;

const SOURCE: &str = include_str!("prelude.js");
static COMPILED: Compiled = Compiled::new();

type Kept = Persistent<Function<'static>>;

/// The prelude, evaluated.
pub(crate) struct Prelude {
    /// Makes a handler's second argument.
    context: Kept,
    /// Makes an HTTP handler's first argument of its event.
    request: Kept,
    /// The functions that are written in Rust. A script may let go of them all; their closures lie outside of QuickJS's
    /// memory, and must be there when that is put back.
    _of_rust: [Kept; 2],
}

impl Prelude {
    /// Evaluates it. `slot` is where its functions find their host.
    pub(crate) fn load(ctx: &Ctx<'_>, slot: &Rc<Slot>) -> Result<Self, Error> {
        let of_call = Rc::clone(slot);
        let call =
            Func::from(move |execution: u32, op: String, request: String| of_call.call(execution, &op, &request));
        let call = call.into_js(ctx)?.into_function().ok_or(Error::Unknown)?;
        let of_random = Rc::clone(slot);
        let random = Func::from(move || of_random.random());
        let random = random.into_js(ctx)?.into_function().ok_or(Error::Unknown)?;
        let (module, _) = COMPILED.declare(ctx, "prelude", SOURCE)?.eval()?;
        let made: Object<'_> = module.get::<_, Function<'_>>("default")?.call((call.clone(), random.clone()))?;
        let kept = |name: &str| Ok::<_, Error>(Persistent::save(ctx, made.get::<_, Function<'_>>(name)?));
        Ok(Self {
            context: kept("ctx")?,
            request: kept("request")?,
            _of_rust: [Persistent::save(ctx, call), Persistent::save(ctx, random)],
        })
    }

    /// A handler's second argument.
    pub(crate) fn context<'js>(&self, ctx: &Ctx<'js>, number: u32, delivery: &Delivery) -> Result<Value<'js>, Error> {
        let mut args = Args::new(ctx.clone(), 8);
        args.push_arg(number)?;
        args.push_arg(delivery.event.app.as_str())?;
        args.push_arg(delivery.trigger_name.as_str())?;
        args.push_arg(delivery.attempt)?;
        args.push_arg(delivery.policy.max_attempts())?;
        args.push_arg(delivery.idempotency_key())?;
        args.push_arg(delivery.lease.0 as f64)?;
        args.push_arg(delivery.claim().to_string())?;
        args.apply(&self.context.clone().restore(ctx)?)
    }

    /// An HTTP handler's first argument.
    pub(crate) fn request<'js>(&self, ctx: &Ctx<'js>, event: Value<'js>) -> Result<Value<'js>, Error> {
        self.request.clone().restore(ctx)?.call((event,))
    }
}
