use super::nearest::did_you_mean;
use super::settings::{LogFormat, Settings};
use crate::secrets::scheme;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

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
pub(super) static SETTINGS: [Setting; 49] = [
    setting("http.listen", |s, raw| raw.address().map(|value| s.http.listen = value)),
    setting("http.body_bytes_max", |s, raw| {
        raw.number_within(1 << 10..=64 << 20).map(|value| s.http.body_bytes_max = value)
    }),
    setting("http.body_timeout_ms", |s, raw| raw.timeout_ms().map(|value| s.http.body_timeout_ms = value)),
    setting("http.connections_max", |s, raw| {
        raw.number_within(16..=1_000_000).map(|value| s.http.connections_max = value)
    }),
    setting("http.connections_per_address_max", |s, raw| {
        raw.number_within(1..=1_000_000).map(|value| s.http.connections_per_address_max = value)
    }),
    setting("http.header_timeout_ms", |s, raw| raw.timeout_ms().map(|value| s.http.header_timeout_ms = value)),
    setting("http.idle_timeout_ms", |s, raw| raw.timeout_ms().map(|value| s.http.idle_timeout_ms = value)),
    setting("http.write_timeout_ms", |s, raw| raw.timeout_ms().map(|value| s.http.write_timeout_ms = value)),
    setting("store.url", |s, raw| raw.store_url().map(|value| s.store.url = Some(value))),
    setting("store.call_timeout_ms", |s, raw| {
        raw.number_within(500..=60_000).map(|value| s.store.call_timeout_ms = value as u32)
    }),
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
    setting("scripts.total_memory_bytes_max", |s, raw| {
        raw.number().map(|value| s.scripts.total_memory_bytes_max = value)
    }),
    setting("scripts.stack_bytes_max", |s, raw| raw.number().map(|value| s.scripts.stack_bytes_max = value)),
    setting("scripts.cpu_ms_max", |s, raw| raw.number().map(|value| s.scripts.cpu_ms_max = value)),
    setting("scripts.data_bytes_max", |s, raw| raw.number().map(|value| s.scripts.data_bytes_max = value)),
    setting("scripts.effects_max", |s, raw| raw.number().map(|value| s.scripts.effects_max = value)),
    setting("scripts.effects_bytes_max", |s, raw| {
        let bytes: u64 = raw.number()?;
        (s.engine.effects_bytes_max, s.scripts.effects_bytes_max) = (bytes, bytes as usize);
        Ok(())
    }),
    setting("scripts.log_bytes_max", |s, raw| raw.number().map(|value| s.scripts.log_bytes_max = value)),
    setting("scripts.source_bytes_max", |s, raw| raw.number().map(|value| s.scripts.source_bytes_max = value)),
    setting("scripts.warm_isolates_max", |s, raw| raw.number().map(|value| s.scripts.warm_isolates_max = value)),
    setting("scripts.warm_bytes_max", |s, raw| raw.number().map(|value| s.scripts.warm_bytes_max = value)),
    setting("scripts.warm_heap_bytes_max", |s, raw| raw.number().map(|value| s.scripts.warm_heap_bytes_max = value)),
    setting("scripts.warm_executions_max", |s, raw| raw.number().map(|value| s.scripts.warm_executions_max = value)),
    setting("scripts.warm_age_ms_max", |s, raw| raw.number().map(|value| s.scripts.warm_age_ms_max = value)),
    setting("retention.open_letters_days", |s, raw| raw.days().map(|days| s.retention.days[0] = days)),
    setting("retention.handled_letters_days", |s, raw| raw.days().map(|days| s.retention.days[1] = days)),
    setting("retention.discarded_letters_days", |s, raw| raw.days().map(|days| s.retention.days[2] = days)),
    setting("retention.abandoned_executions_days", |s, raw| raw.days().map(|days| s.retention.days[3] = days)),
    setting("retention.loops_days", |s, raw| raw.days().map(|days| s.retention.days[4] = days)),
    setting("retention.sessions_days", |s, raw| raw.days().map(|days| s.retention.days[5] = days)),
    setting("retention.interval_s", |s, raw| {
        raw.number_within(1..=86_400).map(|value| s.retention.interval = Duration::from_secs(value))
    }),
    setting("log.level", |s, raw| raw.log_level().map(|value| s.log.level = value)),
    setting("log.format", |s, raw| raw.log_format().map(|value| s.log.format = value)),
    setting("auth.admin_token_file", |s, raw| raw.string().map(|value| s.auth.admin_token_file = Some(value.into()))),
];

/// The sections, in the order of [`SETTINGS`].
pub(super) const SECTIONS: [&str; 8] = ["http", "store", "gate", "dispatcher", "scripts", "retention", "log", "auth"];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

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

    /// An age of records, up to a hundred years.
    fn days(&self) -> Result<u32, String> {
        self.number_within(0..=36_500)
    }

    /// A timeout of connections, from 100 ms to one hour.
    fn timeout_ms(&self) -> Result<u64, String> {
        self.number_within(100..=3_600_000)
    }

    fn number_within<T: FromStr + PartialOrd + Display>(&self, range: RangeInclusive<T>) -> Result<T, String> {
        let number: T = self.number()?;
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
        if ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Ok(text);
        }
        // The message shows only the scheme: the rest of the text may contain a password.
        let found = scheme(&text).map_or_else(String::new, |scheme| format!(", it begins with {scheme:?}"));
        Err(format!("must begin with sqlite: or postgres://{found}"))
    }

    /// A level, or directives such as `info,tidegate=debug`. `EnvFilter` would read a misspelled
    /// level as the name of a target, and log nothing else.
    fn log_level(&self) -> Result<String, String> {
        let text = self.string()?;
        for directive in text.split(',').map(str::trim) {
            let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
            if LevelFilter::from_str(level).is_err() {
                let rule = "must be a level, or directives such as \"info,tidegate=debug\"";
                return Err(format!("{rule}; {level:?} is not a level, {}", did_you_mean(level, &LEVELS)));
            }
        }
        Ok(text)
    }

    fn log_format(&self) -> Result<LogFormat, String> {
        match self.string()?.as_str() {
            "human" => Ok(LogFormat::Human),
            "json" => Ok(LogFormat::Json),
            other => Err(format!("must be \"human\" or \"json\", it is {other:?}")),
        }
    }
}
