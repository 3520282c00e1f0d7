//! Helpers for the cases: calls of an app's users and calls of a dispatcher, on the store under
//! test.

mod app;
mod build;
mod dispatch;
mod draw;
mod kv_event;
mod tasks;
mod verdicts;

pub(crate) use app::{App, woken};
pub(crate) use build::*;
pub(crate) use dispatch::*;
pub(crate) use draw::draw;
pub(crate) use kv_event::kv_data;
pub(crate) use tasks::at_once;
pub(crate) use verdicts::*;
