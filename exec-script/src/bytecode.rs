//! A module that is compiled once, and loaded from bytecode into each later isolate.
//!
//! Loading costs a tenth of compiling. QuickJS does not check bytecode, so the bytecode never
//! leaves the process that wrote it.

use rquickjs::module::WriteOptions;
use rquickjs::{Ctx, Error, Module};
use std::sync::OnceLock;

/// The bytecode of one module, written when the module is declared for the first time.
pub(crate) struct Compiled {
    bytecode: OnceLock<Vec<u8>>,
}

impl Compiled {
    pub(crate) const fn new() -> Self {
        Self { bytecode: OnceLock::new() }
    }

    /// Declares the module in `ctx`, without evaluating it. The first call compiles `source`, which
    /// must be the same in every call.
    pub(crate) fn declare<'js>(&self, ctx: &Ctx<'js>, name: &str, source: &str) -> Result<Module<'js>, Error> {
        if let Some(bytecode) = self.bytecode.get() {
            return load(ctx, bytecode);
        }
        let module = Module::declare(ctx.clone(), name, source)?;
        // The bytecode keeps line numbers and source text, so that stacks are the same as after
        // compiling.
        self.bytecode.set(module.write(WriteOptions::default())?).ok();
        Ok(module)
    }
}

#[expect(unsafe_code, reason = "QuickJS does not check bytecode, but `declare` wrote it in this process")]
fn load<'js>(ctx: &Ctx<'js>, bytecode: &[u8]) -> Result<Module<'js>, Error> {
    // SAFETY: the same QuickJS wrote these bytes, and `Compiled` never hands them out, so they are
    // unchanged.
    unsafe { Module::load(ctx.clone(), bytecode) }
}
