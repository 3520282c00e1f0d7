use super::settings::{LogFormat, Settings};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A setting. The file, the environment and `--set` can all write it.
pub(super) struct Setting {
    /// The section and the key, such as `gate.permits`.
    pub(super) name: &'static str,
    /// Writes the value into the settings. The error is a predicate, such as "must be a string".
    pub(super) set: fn(&mut Settings, &RawValue) -> Result<(), String>,
}

/// A value as it is written in a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RawValue {
    pub(super) text: String,
    /// The TOML type. `None` for variables and flags, whose values are all text.
    pub(super) toml_type: Option<&'static str>,
}

const fn setting(name: &'static str, set: fn(&mut Settings, &RawValue) -> Result<(), String>) -> Setting {
    Setting { name, set }
}

/// All settings. The core and the script executor check the bounds of `gate`, `dispatcher` and
/// `scripts` after all layers are added, because some bounds depend on other settings.
pub(super) static SETTINGS: [Setting; 34] = [
    setting("http.listen", |s, raw| raw.address().map(|value| s.http.listen = value)),
    setting("http.body_bytes_max", |s, raw| {
        raw.number_within(1 << 10..=64 << 20).map(|value| s.http.body_bytes_max = value)
    }),
    setting("store.url", |s, raw| raw.store_url().map(|value| s.store.url = Some(value))),
    setting("gate.permits", |s, raw| raw.number().map(|value| s.engine.gate.permits = value)),
    setting("gate.sync_reserve", |s, raw| raw.number().map(|value| s.engine.gate.sync_reserve = value)),
    setting("gate.async_reserve", |s, raw| raw.number().map(|value| s.engine.gate.async_reserve = value)),
    setting("dispatcher.poll_interval_ms", |s, raw| raw.number().map(|value| s.engine.poll_interval_ms = value)),
    setting("dispatcher.batch_max", |s, raw| raw.number().map(|value| s.engine.batch_max = value)),
    setting("dispatcher.exchange_bytes_max", |s, raw| raw.number().map(|value| s.engine.exchange_bytes_max = value)),
    setting("dispatcher.lease_ms", |s, raw| raw.number().map(|value| s.engine.lease_ms = value)),
    setting("dispatcher.queue_wait_ms_max", |s, raw| raw.number().map(|value| s.engine.queue_wait_ms_max = value)),
    setting("dispatcher.sync_queue_max", |s, raw| raw.number().map(|value| s.engine.sync_queue_max = value)),
    setting("dispatcher.sync_wait_ms_max", |s, raw| raw.number().map(|value| s.engine.sync_wait_ms_max = value)),
    setting("dispatcher.gate_backoff_ms", |s, raw| raw.number().map(|value| s.engine.gate_backoff_ms = value)),
    setting("dispatcher.max_trigger_depth", |s, raw| raw.number().map(|value| s.engine.max_trigger_depth = value)),
    setting("dispatcher.overrun_ms", |s, raw| raw.number().map(|value| s.engine.overrun_ms = value)),
    setting("dispatcher.shutdown_grace_ms", |s, raw| raw.number().map(|value| s.engine.shutdown_grace_ms = value)),
    setting("scripts.app_computing_max", |s, raw| raw.number().map(|value| s.scripts.app_computing_max = value)),
    setting("scripts.memory_bytes_max", |s, raw| raw.number().map(|value| s.scripts.memory_bytes_max = value)),
    setting("scripts.stack_bytes_max", |s, raw| raw.number().map(|value| s.scripts.stack_bytes_max = value)),
    setting("scripts.cpu_ms_max", |s, raw| raw.number().map(|value| s.scripts.cpu_ms_max = value)),
    setting("scripts.data_bytes_max", |s, raw| raw.number().map(|value| s.scripts.data_bytes_max = value)),
    setting("scripts.effects_max", |s, raw| raw.number().map(|value| s.scripts.effects_max = value)),
    setting("scripts.effects_bytes_max", |s, raw| raw.number().map(|value| s.engine.effects_bytes_max = value)),
    setting("scripts.log_bytes_max", |s, raw| raw.number().map(|value| s.scripts.log_bytes_max = value)),
    setting("scripts.source_bytes_max", |s, raw| raw.number().map(|value| s.scripts.source_bytes_max = value)),
    setting("scripts.warm_isolates_max", |s, raw| raw.number().map(|value| s.scripts.warm_isolates_max = value)),
    setting("scripts.warm_bytes_max", |s, raw| raw.number().map(|value| s.scripts.warm_bytes_max = value)),
    setting("scripts.warm_heap_bytes_max", |s, raw| raw.number().map(|value| s.scripts.warm_heap_bytes_max = value)),
    setting("scripts.warm_executions_max", |s, raw| raw.number().map(|value| s.scripts.warm_executions_max = value)),
    setting("scripts.warm_age_ms_max", |s, raw| raw.number().map(|value| s.scripts.warm_age_ms_max = value)),
    setting("log.level", |s, raw| raw.string().map(|value| s.log.level = value)),
    setting("log.format", |s, raw| raw.log_format().map(|value| s.log.format = value)),
    setting("auth.admin_token_file", |s, raw| raw.string().map(|value| s.auth.admin_token_file = Some(value.into()))),
];

/// The sections, in the order of [`SETTINGS`].
pub(super) const SECTIONS: [&str; 7] = ["http", "store", "gate", "dispatcher", "scripts", "log", "auth"];

impl Setting {
    pub(super) fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    pub(super) fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// The variable of the setting, such as `TIDEGATE_GATE_PERMITS`.
    pub(super) fn variable(&self) -> String {
        format!("TIDEGATE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

impl RawValue {
    fn string(&self) -> Result<String, String> {
        match self.toml_type {
            None | Some("string") => Ok(self.text.clone()),
            Some(other) => Err(format!("must be a string, it is of the type {other}")),
        }
    }

    fn number<T: FromStr>(&self) -> Result<T, String> {
        match self.toml_type {
            None | Some("integer") => {
                self.text.parse().map_err(|_| format!("must be a whole number, it is {}", self.text))
            }
            Some(other) => Err(format!("must be a whole number, it is of the type {other}")),
        }
    }

    fn number_within(&self, range: RangeInclusive<usize>) -> Result<usize, String> {
        let number: usize = self.number()?;
        if range.contains(&number) {
            Ok(number)
        } else {
            Err(format!("must be from {} to {}, it is {number}", range.start(), range.end()))
        }
    }

    fn address(&self) -> Result<SocketAddr, String> {
        let text = self.string()?;
        let of_name = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let parsed = of_name.as_ref().unwrap_or(&text).parse();
        parsed.map_err(|_| format!("must be ADDRESS:PORT such as 127.0.0.1:8787, it is {text:?}"))
    }

    fn store_url(&self) -> Result<String, String> {
        let text = self.string()?;
        if ["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(text);
        }
        // The message shows only the scheme: the rest of the text may contain a password.
        let scheme = text.split(':').next().unwrap_or_default();
        Err(format!("must begin with sqlite: or postgres:, it begins with {scheme:?}"))
    }

    fn log_format(&self) -> Result<LogFormat, String> {
        match self.string()?.as_str() {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("must be \"human\" or \"json\", it is {other:?}")),
        }
    }
}
