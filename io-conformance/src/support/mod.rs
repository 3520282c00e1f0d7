//! What the cases are written with: an app on the store under test, seen from both sides.

mod app;
mod build;
mod dispatch;

pub(crate) use app::{App, woken};
pub(crate) use build::*;
pub(crate) use dispatch::*;
