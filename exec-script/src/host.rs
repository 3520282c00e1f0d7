//! What a script may ask of the world: its app's values, and to stage. Nothing here changes the store.

use crate::limits::Limits;
use crate::pool::Pause;
use crate::staged::Staged;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tidegate_core::{Access, AppName, Collection, Delivery, EventType, Json, Key, NewEvent, Principal, Subject};
use tidegate_ports::{KvEntry, KvPage, KvStore, PortError};
use tokio::runtime::Handle;

/// One execution's side of the world.
pub(crate) struct Host {
    pub(crate) delivery: Arc<Delivery>,
    pub(crate) kv: Arc<dyn KvStore>,
    pub(crate) runtime: Handle,
    pub(crate) pause: Pause,
    pub(crate) limits: Limits,
    pub(crate) principal: Principal,
    pub(crate) deadline: Instant,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) staged: Staged,
    pub(crate) logged: usize,
}

/// What a script's call is refused with: an `Error` whose `code` this is.
struct Refusal {
    code: &'static str,
    message: String,
}

fn refusal(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, message: message.into() }
}

fn invalid(error: impl std::fmt::Display) -> Refusal {
    refusal("invalid_argument", error.to_string())
}

/// How long a wait goes on before it looks whether it was cancelled.
const WAIT_STEP: Duration = Duration::from_millis(20);

impl Host {
    /// Answers one call; the prelude turns an error into an exception.
    pub(crate) fn call(&mut self, op: &str, request: &str) -> String {
        let answer = match op {
            _ if !self.may(op) => {
                let detail = format!("{} may not do this in {}", self.principal.id, self.app());
                Err(refusal("principal_denied", detail))
            }
            "get" => self.get(request),
            "set" => self.set(request),
            "delete" => self.delete(request),
            "list" => self.list(request),
            "emit" => self.emit(request),
            "sleep" => self.sleep(request),
            "log" => self.log(request),
            "aborted" => Ok(json!(self.is_over())),
            "uuid" => Ok(json!(uuid())),
            _ => Err(refusal("internal", format!("there is no {op}"))),
        };
        match answer {
            Ok(ok) => json!({ "ok": ok }).to_string(),
            Err(Refusal { code, message }) => json!({ "error": { "code": code, "message": message } }).to_string(),
        }
    }

    /// Whether whoever the script runs as may do this: every call is asked for, whatever was known before.
    fn may(&self, op: &str) -> bool {
        let access = match op {
            "get" | "list" => Access::Read,
            "set" | "delete" | "emit" => Access::Write,
            _ => Access::Known,
        };
        self.principal.may(access, Some(self.app()))
    }

    fn app(&self) -> &AppName {
        &self.delivery.event.app
    }

    fn is_over(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || Instant::now() >= self.deadline
    }

    fn get(&mut self, request: &str) -> Result<Value, Refusal> {
        let (collection, key): (Collection, Key) = arguments(request)?;
        let at = (collection, key);
        if let Some(written) = self.staged.written(&at) {
            return Ok(json!(written.map_or("null", Json::as_str)));
        }
        if let Some(seen) = self.staged.seen(&at) {
            return Ok(json!(seen.map_or("null", |entry| entry.value.as_str())));
        }
        let entry = self.wait(self.kv.get(self.app(), &at.0, &at.1))?;
        let text = json!(entry.as_ref().map_or("null", |entry| entry.value.as_str()));
        self.staged.see(at, entry);
        Ok(text)
    }

    fn set(&mut self, request: &str) -> Result<Value, Refusal> {
        let (collection, key, text): (Collection, Key, String) = arguments(request)?;
        let value = self.data(&text)?;
        self.room()?;
        self.staged.write((collection, key), Some(value));
        Ok(Value::Null)
    }

    fn delete(&mut self, request: &str) -> Result<Value, Refusal> {
        let (collection, key): (Collection, Key) = arguments(request)?;
        self.room()?;
        self.staged.write((collection, key), None);
        Ok(Value::Null)
    }

    /// The store's entries under what the script itself has written. Each entry that came from the store is a read.
    fn list(&mut self, request: &str) -> Result<Value, Refusal> {
        let (collection, prefix, limit, after): (Collection, String, u32, Option<Key>) = arguments(request)?;
        if !(1..=1_000).contains(&limit) {
            return Err(refusal("invalid_argument", "limit must be from 1 to 1000"));
        }
        let own = self.staged.written_in(&collection, &prefix);
        // Own deletes make room for as many more.
        let page = KvPage { prefix, after: after.clone(), limit: limit + own.len() as u32 };
        let stored: Vec<KvEntry> = self.wait(self.kv.list(self.app(), &collection, &page))?;
        let is_whole = stored.len() < page.limit as usize;
        let last = stored.last().map(|entry| entry.key.clone());
        let mut entries = std::collections::BTreeMap::new();
        for entry in stored {
            let at = (collection.clone(), entry.key.clone());
            self.staged.see(at.clone(), Some(entry));
            if let Some(Some(seen)) = self.staged.seen(&at) {
                entries.insert(at.1, seen.value.as_str().to_owned());
            }
        }
        for (key, value) in own {
            let beyond = !is_whole && last.as_ref().is_some_and(|last| key > *last);
            if beyond || after.as_ref().is_some_and(|after| key <= *after) {
                continue;
            }
            match value {
                Some(value) => entries.insert(key, value.as_str().to_owned()),
                None => entries.remove(&key),
            };
        }
        let entries: Vec<(Key, String)> = entries.into_iter().take(limit as usize).collect();
        Ok(json!(entries))
    }

    fn emit(&mut self, request: &str) -> Result<Value, Refusal> {
        let (event_type, subject, text): (EventType, Subject, String) = arguments(request)?;
        let data = self.data(&text)?;
        self.room()?;
        self.staged.emit(NewEvent { event_type, subject, data });
        Ok(Value::Null)
    }

    fn sleep(&mut self, request: &str) -> Result<Value, Refusal> {
        let ms: f64 =
            serde_json::from_str(request).map_err(|_| refusal("invalid_argument", "sleep takes milliseconds"))?;
        let until = Instant::now() + Duration::from_secs_f64(ms.clamp(0.0, 3_600_000.0) / 1_000.0);
        self.pause.during(|| {
            while !self.is_over() && Instant::now() < until {
                std::thread::sleep(WAIT_STEP.min(until.saturating_duration_since(Instant::now())));
            }
        });
        Ok(Value::Null)
    }

    fn log(&mut self, request: &str) -> Result<Value, Refusal> {
        let (level, mut text): (String, String) = arguments(request)?;
        if self.logged > self.limits.log_bytes_max {
            return Ok(Value::Null);
        }
        let room = self.limits.log_bytes_max - self.logged;
        self.logged += text.len() + 1;
        if text.len() > room {
            let end = (0..=room).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str(" … (the rest of this execution's output is cut, see scripts.log_bytes_max)");
        }
        let (app, trigger, delivery) = (self.app().as_str(), self.delivery.trigger_name.as_str(), self.delivery.id.0);
        match level.as_str() {
            "error" => tracing::error!(target: "tidegate::script", app, trigger, delivery, "{text}"),
            "warn" => tracing::warn!(target: "tidegate::script", app, trigger, delivery, "{text}"),
            "debug" => tracing::debug!(target: "tidegate::script", app, trigger, delivery, "{text}"),
            _ => tracing::info!(target: "tidegate::script", app, trigger, delivery, "{text}"),
        }
        Ok(Value::Null)
    }

    fn data(&self, text: &str) -> Result<Json, Refusal> {
        let max = self.limits.data_bytes_max;
        if text.len() > max {
            let message = format!("{} bytes of JSON are more than the {max} allowed; nothing was staged", text.len());
            return Err(refusal("payload_too_large", message));
        }
        Json::parse(text).map_err(|error| refusal("not_json", error.to_string()))
    }

    fn room(&self) -> Result<(), Refusal> {
        let max = self.limits.effects_max;
        if self.staged.len() < max {
            return Ok(());
        }
        Err(refusal("too_many_effects", format!("an execution may stage at most {max} writes and events")))
    }

    /// Waits for the store on the runtime, at most until the deadline.
    fn wait<T>(&self, call: impl Future<Output = Result<T, PortError>>) -> Result<T, Refusal> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.pause.during(|| self.runtime.block_on(async { tokio::time::timeout(left, call).await })) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(refusal("store_unavailable", error.to_string())),
            Err(_) => Err(refusal("timeout", "the store did not answer before the execution's deadline")),
        }
    }
}

fn arguments<T: for<'de> Deserialize<'de>>(request: &str) -> Result<T, Refusal> {
    serde_json::from_str(request).map_err(|error| {
        // serde adds where in our own JSON it was, which says nothing to a script's author.
        let message = error.to_string();
        let cut = message.rfind(" at line ").unwrap_or(message.len());
        invalid(&message[..cut])
    })
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}
