//! A module that is compiled once, and loaded from bytecode into each later isolate.
//!
//! Loading costs a tenth of compiling. QuickJS does not check bytecode, so the bytecode never
//! leaves the process that wrote it.

use rquickjs::module::WriteOptions;
use rquickjs::{Context, Ctx, Error, Module, Runtime};
use std::sync::OnceLock;

/// The bytecode of one module, written when the module is declared for the first time.
pub(crate) struct Compiled {
    bytecode: OnceLock<Vec<u8>>,
    /// Whether functions keep their text, which only `toString` shows.
    has_source: bool,
}

impl Compiled {
    pub(crate) const fn new() -> Self {
        Self { bytecode: OnceLock::new(), has_source: true }
    }

    /// Bytecode without the text of functions: every isolate holds less.
    pub(crate) const fn without_source() -> Self {
        Self { bytecode: OnceLock::new(), has_source: false }
    }

    /// Declares the module in `ctx`, without evaluating it. The first call compiles `source`, which
    /// must be the same in every call.
    pub(crate) fn declare<'js>(&self, ctx: &Ctx<'js>, name: &str, source: &str) -> Result<Module<'js>, Error> {
        if let Some(bytecode) = self.bytecode.get() {
            return load(ctx, bytecode);
        }
        let module = Module::declare(ctx.clone(), name, source)?;
        self.write(&module)?;
        Ok(module)
    }

    /// Declares the module as [`Self::declare`] does, but compiles it in a runtime of its own. So
    /// the runtime of `ctx` holds nothing that the compiler leaves behind.
    pub(crate) fn declare_small<'js>(&self, ctx: &Ctx<'js>, name: &str, source: &str) -> Result<Module<'js>, Error> {
        if self.bytecode.get().is_none() {
            let context = Context::full(&Runtime::new()?)?;
            context.with(|other| self.write(&Module::declare(other, name, source)?))?;
        }
        self.declare(ctx, name, source)
    }

    /// Keeps the bytecode of a module that was compiled. It has line numbers, so that stacks are
    /// the same as after compiling.
    fn write(&self, module: &Module<'_>) -> Result<(), Error> {
        let options = WriteOptions { strip_source: !self.has_source, ..WriteOptions::default() };
        self.bytecode.set(module.write(options)?).ok();
        Ok(())
    }
}

#[expect(unsafe_code, reason = "QuickJS does not check bytecode, but `declare` wrote it in this process")]
fn load<'js>(ctx: &Ctx<'js>, bytecode: &[u8]) -> Result<Module<'js>, Error> {
    // SAFETY: the same QuickJS wrote these bytes, and `Compiled` never hands them out, so they are
    // unchanged.
    unsafe { Module::load(ctx.clone(), bytecode) }
}
