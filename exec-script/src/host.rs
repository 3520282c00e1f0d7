//! The host of one execution: it answers the calls of a script to `ctx`, `console` and `crypto`. It
//! reads the app's values and stages writes and events. It never changes the store.

use crate::console::Console;
use crate::limits::Limits;
use crate::memory::Memory;
use crate::pool::Pause;
use crate::staged::Staged;
use crate::text::well_formed;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{
    Access, AppName, Collection, Delivery, Effects, EventType, Json, Key, NewEvent, Principal, Role, Subject,
};
use tidegate_ports::{KvEntry, KvPage, KvStore, Page, PageSize, PortError};
use tokio::runtime::Handle;

pub(crate) struct Host {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) principal: Principal,
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) runtime: Handle,
    pub(crate) pause: Pause,
    pub(crate) limits: Limits,
    pub(crate) memory: Memory,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) staged: Staged,
    pub(crate) console: Console,
}

/// The error of a call. The script gets it as an `Error` with this `code`.
struct CallError {
    code: &'static str,
    message: String,
}

fn error(code: &'static str, message: impl Into<String>) -> CallError {
    CallError { code, message: message.into() }
}

/// An argument that the function of `op` does not accept.
fn invalid(op: &str, problem: &str) -> CallError {
    error("invalid_argument", format!("{}: {problem}. This call did nothing.", function_name(op)))
}

/// How often the bytes of a request or an answer are in memory at the same time, at most: as they
/// are kept, as JSON in JSON on the way, and as text in the script.
const COPIES: usize = 6;

/// The interval at which a sleep checks for cancellation.
const SLEEP_STEP: Duration = Duration::from_millis(20);

impl Host {
    /// Answers one call in JSON. The prelude turns an error into an exception.
    pub(crate) fn call(&mut self, op: &str, request: String) -> String {
        let request = &*well_formed(request);
        // The prelude limits a line of `console`, and the host cuts it further.
        let copied = if op == "log" { 0 } else { COPIES * request.len() };
        let checked = self.check_access(op).and_then(|()| self.check_memory(copied));
        let answer = checked.and_then(|()| match op {
            "get" => self.get(request),
            "peek" => self.peek(request),
            "set" => self.set(request),
            "delete" => self.delete(request),
            "list" => self.list(request),
            "emit" => self.emit(request),
            "sleep" => self.sleep(request),
            "log" => self.log(request),
            "aborted" => Ok(json!(self.is_over())),
            "uuid" => Ok(json!(uuid::Uuid::new_v4().to_string())),
            _ => Err(error("internal", format!("the host has no operation {op}"))),
        });
        match answer {
            Ok(ok) => json!({ "ok": ok }).to_string(),
            Err(CallError { code, message }) => json!({ "error": { "code": code, "message": message } }).to_string(),
        }
    }

    /// The effects that were staged so far. The host then has none.
    pub(crate) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.staged).into_effects()
    }

    /// Checks at every call that the principal of the execution may make it.
    fn check_access(&self, op: &str) -> Result<(), CallError> {
        let (access, role) = match op {
            "get" | "peek" | "list" => (Access::Read, Role::Viewer),
            "set" | "delete" | "emit" => (Access::Write, Role::Editor),
            _ => return Ok(()),
        };
        if self.principal.may(access, Some(self.app())) {
            return Ok(());
        }
        let (id, app, call) = (&self.principal.id, self.app(), function_name(op));
        Err(error("principal_denied", format!("{id} may not call {call} in the app {app}; it needs the role {role}")))
    }

    /// Checks that the host may use `more` bytes for this execution.
    fn check_memory(&self, more: usize) -> Result<(), CallError> {
        let left = self.memory.left();
        if more <= left {
            return Ok(());
        }
        Err(error(
            "resource_limit",
            format!(
                "the call needs {more} bytes, and {left} are left of scripts.memory_bytes_max; it did nothing; read \
                 or write less in one execution, for example with the options prefix, limit and after of ctx.kv.list"
            ),
        ))
    }

    /// Counts everything that is held for the execution.
    fn hold(&self, effect_bytes: usize) -> Result<(), CallError> {
        let bytes = self.staged.read_bytes() + effect_bytes;
        if self.memory.hold(bytes) { Ok(()) } else { self.check_memory(bytes) }
    }

    fn app(&self) -> &AppName {
        &self.delivery.event.app
    }

    fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    fn get(&mut self, request: &str) -> Result<Value, CallError> {
        let at: (Collection, Key) = arguments("get", request)?;
        if let Some(known) = self.known(&at) {
            return Ok(known);
        }
        let entry = self.read(&at)?;
        let text = text_or_null(entry.as_ref());
        self.staged.record_read(at, entry);
        self.hold(self.staged.effect_bytes())?;
        Ok(text)
    }

    /// Reads a value without recording its version, so that a later write by another execution is
    /// no conflict. A value that this execution has read or written before stays the same.
    fn peek(&self, request: &str) -> Result<Value, CallError> {
        let at: (Collection, Key) = arguments("peek", request)?;
        if let Some(known) = self.known(&at) {
            return Ok(known);
        }
        Ok(text_or_null(self.read(&at)?.as_ref()))
    }

    fn read(&self, at: &(Collection, Key)) -> Result<Option<KvEntry>, CallError> {
        let entry = self.wait(self.kv.get(self.app(), &at.0, &at.1))?;
        self.check_memory(COPIES * entry.as_ref().map_or(0, |entry| entry.bytes() as usize))?;
        Ok(entry)
    }

    /// The value that this execution has written, or else the value of its first read.
    fn known(&self, at: &(Collection, Key)) -> Option<Value> {
        let written = self.staged.own_write(at).map(|json| json!(json.map_or("null", Json::as_str)));
        written.or_else(|| self.staged.first_read(at).map(text_or_null))
    }

    fn set(&mut self, request: &str) -> Result<Value, CallError> {
        let (collection, key, text): (Collection, Key, String) = arguments("set", request)?;
        let value = self.parse_data(text)?;
        self.stage_write((collection, key), Some(value))
    }

    fn delete(&mut self, request: &str) -> Result<Value, CallError> {
        let at: (Collection, Key) = arguments("delete", request)?;
        self.stage_write(at, None)
    }

    fn stage_write(&mut self, at: (Collection, Key), value: Option<Json>) -> Result<Value, CallError> {
        self.check_effects(self.staged.bytes_with_write(&at, value.as_ref()))?;
        self.staged.write(at, value);
        Ok(Value::Null)
    }

    /// Lists the entries of the store together with the writes of this execution. Each entry of the
    /// store counts as a read.
    fn list(&mut self, request: &str) -> Result<Value, CallError> {
        // The prelude has checked `limit`.
        let (collection, prefix, limit, after): (Collection, String, u32, Option<String>) = arguments("list", request)?;
        let after =
            after.map(Key::new).transpose().map_err(|cause| invalid("list", &format!("the option after: {cause}")))?;
        let own = self.staged.own_writes(&collection, &prefix);
        // Each own delete may hide one stored entry, so the page has one more entry for each own
        // write.
        let bytes_max = self.memory.left() / COPIES;
        let size = PageSize { items: limit + own.len() as u32, bytes: bytes_max as u64 };
        let page = KvPage { prefix, after, size };
        let stored: Page<KvEntry> = self.wait(self.kv.list(self.app(), &collection, &page))?;
        let is_cut = stored.has_more && stored.items.len() < size.items as usize;
        let found: usize = stored.items.iter().map(|entry| entry.bytes() as usize).sum();
        self.check_memory(COPIES * if is_cut { bytes_max + 1 } else { found })?;
        let mut entries = self.staged.merge_page(&collection, &page, stored, own);
        self.hold(self.staged.effect_bytes())?;
        entries.truncate(limit as usize);
        Ok(json!(entries))
    }

    fn emit(&mut self, request: &str) -> Result<Value, CallError> {
        let (event_type, subject, text): (EventType, Subject, String) = arguments("emit", request)?;
        let data = self.parse_data(text)?;
        let event = NewEvent { event_type, subject, data };
        self.check_effects(self.staged.bytes_with_event(&event))?;
        self.staged.emit(event);
        Ok(Value::Null)
    }

    fn sleep(&mut self, request: &str) -> Result<Value, CallError> {
        let ms: f64 = arguments("sleep", request)?;
        let until = Instant::now() + Duration::from_secs_f64(ms.clamp(0.0, 3_600_000.0) / 1_000.0);
        self.pause.during(|| {
            while !self.is_over() && Instant::now() < until {
                std::thread::sleep(SLEEP_STEP.min(until.saturating_duration_since(Instant::now())));
            }
        });
        Ok(Value::Null)
    }

    fn log(&mut self, request: &str) -> Result<Value, CallError> {
        let (level, text): (String, String) = arguments("log", request)?;
        self.console.log(&self.delivery, self.limits.log_bytes_max, &level, text);
        Ok(Value::Null)
    }

    fn parse_data(&self, text: String) -> Result<Json, CallError> {
        let text = well_formed(text);
        let (length, max) = (text.len(), self.limits.data_bytes_max);
        if length > max {
            let message =
                format!("{length} bytes of JSON exceed scripts.data_bytes_max ({max}); this call staged nothing");
            return Err(error("payload_too_large", message));
        }
        Json::parse(&text).map_err(|cause| error("not_json", cause.to_string()))
    }

    /// Checks that one write or event more may be staged, with which all of them have `bytes`.
    fn check_effects(&self, bytes: usize) -> Result<(), CallError> {
        let (max, bytes_max) = (self.limits.effects_max, self.limits.effects_bytes_max);
        if self.staged.len() >= max {
            let message = format!("an execution may stage at most {max} writes and events (scripts.effects_max)");
            return Err(error("too_many_effects", message));
        }
        if bytes > bytes_max {
            let message = format!(
                "the writes and events of the execution would have {bytes} bytes; scripts.effects_bytes_max allows \
                 {bytes_max}; this call staged nothing; write less, or emit an event for the rest of the work"
            );
            return Err(error("effects_too_large", message));
        }
        self.hold(bytes)
    }

    /// Waits for the store, at most until the deadline.
    fn wait<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, CallError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.pause.during(|| self.runtime.block_on(async { tokio::time::timeout(left, call).await })) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(cause)) => Err(error("store_unavailable", format!("the store could not be read: {cause}"))),
            Err(_) => Err(error("timeout", "the store did not answer before the execution's deadline")),
        }
    }
}

fn text_or_null(entry: Option<&KvEntry>) -> Value {
    json!(entry.map_or("null", |entry| entry.value.as_str()))
}

/// The function of `ctx` that calls `op`.
fn function_name(op: &str) -> String {
    if matches!(op, "emit" | "sleep") { format!("ctx.{op}") } else { format!("ctx.kv.{op}") }
}

fn arguments<T: for<'de> Deserialize<'de>>(op: &str, request: &str) -> Result<T, CallError> {
    serde_json::from_str(request).map_err(|cause| {
        // serde appends a position in the prelude's own JSON, which means nothing to the author of
        // a script.
        let message = cause.to_string();
        let end = message.rfind(" at line ").unwrap_or(message.len());
        invalid(op, &message[..end])
    })
}
