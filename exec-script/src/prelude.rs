//! The prelude of an isolate: `console`, `crypto`, `Math.random`, and the functions that make a
//! handler's arguments and check its result. It is evaluated before any script is loaded.

use crate::bytecode::Compiled;
use crate::host_slot::HostSlot;
use rquickjs::function::{Args, Func};
use rquickjs::{Ctx, Error, Function, IntoJs, Object, Persistent, Value};
use std::rc::Rc;
use tidegate_core::Delivery;

/// One module, so that an isolate evaluates one and not six.
const SOURCE: &str = concat!(
    include_str!("prelude/show.js"),
    include_str!("prelude/arguments.js"),
    include_str!("prelude/handler.js"),
    include_str!("prelude/locales.js"),
    include_str!("prelude/reply.js"),
    include_str!("prelude/prelude.js"),
);
static COMPILED: Compiled = Compiled::without_source();

type FunctionHandle = Persistent<Function<'static>>;

pub(crate) struct Prelude {
    make_context: FunctionHandle,
    make_request: FunctionHandle,
    refuse_handler: FunctionHandle,
    refuse_result: FunctionHandle,
    take_bytes: FunctionHandle,
    /// The functions that are written in Rust. A script may delete all of its own references to
    /// them. Their closures lie outside of QuickJS's memory, and must still exist when a snapshot
    /// of that memory is restored.
    _rust_functions: [FunctionHandle; 2],
}

/// The bytes in the result of a handler.
pub(crate) struct TakenBytes<'js> {
    pub(crate) base64: String,
    /// The number of bytes.
    pub(crate) length: usize,
    /// The response without its body.
    pub(crate) rest: Value<'js>,
}

impl Prelude {
    /// Evaluates the prelude. Its functions find their host in `slot`.
    pub(crate) fn load(ctx: &Ctx<'_>, slot: &Rc<HostSlot>) -> Result<Self, Error> {
        let call_slot = Rc::clone(slot);
        let host =
            Func::from(move |execution: u32, op: String, request: String| call_slot.call(execution, &op, request));
        let host = host.into_js(ctx)?.into_function().ok_or(Error::Unknown)?;
        let random_slot = Rc::clone(slot);
        let random = Func::from(move || random_slot.random());
        let random = random.into_js(ctx)?.into_function().ok_or(Error::Unknown)?;
        let (module, _) = COMPILED.declare_small(ctx, "tidegate-prelude", SOURCE)?.eval()?;
        let exports: Object<'_> = module.get::<_, Function<'_>>("default")?.call((host.clone(), random.clone()))?;
        let handle = |name: &str| Ok::<_, Error>(Persistent::save(ctx, exports.get::<_, Function<'_>>(name)?));
        Ok(Self {
            make_context: handle("makeContext")?,
            make_request: handle("makeRequest")?,
            refuse_handler: handle("refuseHandler")?,
            refuse_result: handle("refuseResult")?,
            take_bytes: handle("takeBytes")?,
            _rust_functions: [Persistent::save(ctx, host), Persistent::save(ctx, random)],
        })
    }

    /// The second argument of a handler. `execution` is the number that its calls to the host send.
    pub(crate) fn context<'js>(
        &self,
        ctx: &Ctx<'js>,
        execution: u32,
        delivery: &Delivery,
    ) -> Result<Value<'js>, Error> {
        let mut args = Args::new(ctx.clone(), 8);
        args.push_arg(execution)?;
        args.push_arg(delivery.event.app.as_str())?;
        args.push_arg(delivery.trigger_name.as_str())?;
        args.push_arg(delivery.attempt)?;
        args.push_arg(delivery.policy.max_attempts())?;
        args.push_arg(delivery.idempotency_key())?;
        args.push_arg(delivery.lease.0 as f64)?;
        args.push_arg(delivery.claim().to_string())?;
        args.apply(&self.make_context.clone().restore(ctx)?)
    }

    /// The first argument of an HTTP handler, made from its event.
    pub(crate) fn request<'js>(&self, ctx: &Ctx<'js>, event: Value<'js>) -> Result<Value<'js>, Error> {
        self.make_request.clone().restore(ctx)?.call((event,))
    }

    /// The reason why a default export is no handler. `None` if it is one.
    pub(crate) fn refuse_handler<'js>(&self, ctx: &Ctx<'js>, default: Value<'js>) -> Result<Option<String>, Error> {
        self.refuse_handler.clone().restore(ctx)?.call((default,))
    }

    /// The reason why the result of a handler shows that some of its code did not run.
    pub(crate) fn refuse_result<'js>(&self, ctx: &Ctx<'js>, result: Value<'js>) -> Result<Option<String>, Error> {
        self.refuse_result.clone().restore(ctx)?.call((result,))
    }

    /// The bytes of a result, or of its body if it is a response. `None` if there are no bytes.
    pub(crate) fn take_bytes<'js>(
        &self,
        ctx: &Ctx<'js>,
        result: Value<'js>,
        is_response: bool,
    ) -> Result<Option<TakenBytes<'js>>, Error> {
        let taken: Option<Object<'js>> = self.take_bytes.clone().restore(ctx)?.call((result, is_response))?;
        let Some(taken) = taken else { return Ok(None) };
        Ok(Some(TakenBytes { base64: taken.get("base64")?, length: taken.get("length")?, rest: taken.get("rest")? }))
    }
}
