use super::settings::{LogFormat, Settings};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A setting that can be written in the file, in the environment and as a flag.
pub(super) struct Known {
    /// `section.key`.
    pub(super) name: &'static str,
    /// Writes it into the settings, or says what it must be.
    pub(super) set: fn(&mut Settings, &Written) -> Result<(), String>,
}

/// A value as somebody wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) text: String,
    /// What TOML says that it is; `None` from the environment and from flags, where all is text.
    pub(super) toml_type: Option<&'static str>,
}

const fn known(name: &'static str, set: fn(&mut Settings, &Written) -> Result<(), String>) -> Known {
    Known { name, set }
}

/// Every setting there is. The bounds of `gate`, `dispatcher` and `scripts` are checked by those they belong to when
/// all layers are in.
pub(super) static KNOWN: [Known; 31] = [
    known("http.listen", |s, w| w.address().map(|v| s.http.listen = v)),
    known("http.body_bytes_max", |s, w| w.within(1 << 10..=64 << 20).map(|v| s.http.body_bytes_max = v)),
    known("store.url", |s, w| w.store_url().map(|v| s.store.url = Some(v))),
    known("gate.permits", |s, w| w.number().map(|v| s.engine.gate.permits = v)),
    known("gate.sync_reserve", |s, w| w.number().map(|v| s.engine.gate.sync_reserve = v)),
    known("dispatcher.poll_interval_ms", |s, w| w.number().map(|v| s.engine.poll_interval_ms = v)),
    known("dispatcher.batch_max", |s, w| w.number().map(|v| s.engine.batch_max = v)),
    known("dispatcher.lease_ms", |s, w| w.number().map(|v| s.engine.lease_ms = v)),
    known("dispatcher.queue_wait_ms_max", |s, w| w.number().map(|v| s.engine.queue_wait_ms_max = v)),
    known("dispatcher.sync_queue_max", |s, w| w.number().map(|v| s.engine.sync_queue_max = v)),
    known("dispatcher.sync_wait_ms_max", |s, w| w.number().map(|v| s.engine.sync_wait_ms_max = v)),
    known("dispatcher.gate_backoff_ms", |s, w| w.number().map(|v| s.engine.gate_backoff_ms = v)),
    known("dispatcher.max_trigger_depth", |s, w| w.number().map(|v| s.engine.max_trigger_depth = v)),
    known("dispatcher.overrun_ms", |s, w| w.number().map(|v| s.engine.overrun_ms = v)),
    known("dispatcher.shutdown_grace_ms", |s, w| w.number().map(|v| s.engine.shutdown_grace_ms = v)),
    known("scripts.threads_max", |s, w| w.number().map(|v| s.scripts.threads_max = v)),
    known("scripts.memory_bytes_max", |s, w| w.number().map(|v| s.scripts.memory_bytes_max = v)),
    known("scripts.stack_bytes_max", |s, w| w.number().map(|v| s.scripts.stack_bytes_max = v)),
    known("scripts.cpu_ms_max", |s, w| w.number().map(|v| s.scripts.cpu_ms_max = v)),
    known("scripts.data_bytes_max", |s, w| w.number().map(|v| s.scripts.data_bytes_max = v)),
    known("scripts.effects_max", |s, w| w.number().map(|v| s.scripts.effects_max = v)),
    known("scripts.log_bytes_max", |s, w| w.number().map(|v| s.scripts.log_bytes_max = v)),
    known("scripts.source_bytes_max", |s, w| w.number().map(|v| s.scripts.source_bytes_max = v)),
    known("scripts.warm_isolates_max", |s, w| w.number().map(|v| s.scripts.warm_isolates_max = v)),
    known("scripts.warm_bytes_max", |s, w| w.number().map(|v| s.scripts.warm_bytes_max = v)),
    known("scripts.warm_heap_bytes_max", |s, w| w.number().map(|v| s.scripts.warm_heap_bytes_max = v)),
    known("scripts.warm_executions_max", |s, w| w.number().map(|v| s.scripts.warm_executions_max = v)),
    known("scripts.warm_age_ms_max", |s, w| w.number().map(|v| s.scripts.warm_age_ms_max = v)),
    known("log.level", |s, w| w.string().map(|v| s.log.level = v)),
    known("log.format", |s, w| w.log_format().map(|v| s.log.format = v)),
    known("auth.admin_token_file", |s, w| w.string().map(|v| s.auth.admin_token_file = Some(v.into()))),
];

/// The sections, in the order of [`KNOWN`].
pub(super) const SECTIONS: [&str; 7] = ["http", "store", "gate", "dispatcher", "scripts", "log", "auth"];

impl Known {
    pub(super) fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    pub(super) fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// `TIDEGATE_<SECTION>_<KEY>`.
    pub(super) fn variable(&self) -> String {
        format!("TIDEGATE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }
}

impl Written {
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

    fn within(&self, range: RangeInclusive<usize>) -> Result<usize, String> {
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
        // The rest of the text may hold a password.
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
