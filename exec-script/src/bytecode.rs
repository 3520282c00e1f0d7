//! Modules that are compiled once and loaded into each isolate after that.
//!
//! Loading costs a tenth of compiling. The bytecode never leaves the process that made it: QuickJS trusts what it loads.

use rquickjs::module::WriteOptions;
use rquickjs::{Ctx, Error, Module};
use std::sync::OnceLock;

/// A module's source and, once it was needed, its bytecode.
pub(crate) struct Compiled {
    bytecode: OnceLock<Vec<u8>>,
}

impl Compiled {
    pub(crate) const fn new() -> Self {
        Self { bytecode: OnceLock::new() }
    }

    /// The module in `ctx`, not evaluated yet. `source` is the same at every call; whoever is first compiles it.
    pub(crate) fn declare<'js>(&self, ctx: &Ctx<'js>, name: &str, source: &str) -> Result<Module<'js>, Error> {
        if let Some(bytecode) = self.bytecode.get() {
            return load(ctx, bytecode);
        }
        let module = Module::declare(ctx.clone(), name, source)?;
        // Line numbers and source text stay, so that stacks read the same however the module came here.
        self.bytecode.set(module.write(WriteOptions::default())?).ok();
        Ok(module)
    }
}

#[expect(unsafe_code, reason = "QuickJS cannot check bytecode; this was written by `declare` in this very process")]
fn load<'js>(ctx: &Ctx<'js>, bytecode: &[u8]) -> Result<Module<'js>, Error> {
    // SAFETY: the bytes are what the same QuickJS wrote, unchanged: `Compiled` keeps them to itself.
    unsafe { Module::load(ctx.clone(), bytecode) }
}
