//! The settings of the dispatcher. Every bound has a name, and all bounds are checked once.

use crate::time::Micros;
use serde::{Deserialize, Serialize};

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// The limits for executions that run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateLimits {
    /// Executions of both kinds, async and sync: 1–10,000.
    pub permits: u32,
    /// Permits that only sync calls get: 0 to `permits - 1`, so that async work always has a
    /// permit.
    pub sync_reserve: u32,
    /// Permits that only async work gets: 0 to `permits - 1`, and at most the permits beside
    /// `sync_reserve`.
    pub async_reserve: u32,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self { permits: 64, sync_reserve: 8, async_reserve: 8 }
    }
}

impl GateLimits {
    /// The permits that async work may use.
    #[must_use]
    pub const fn for_async(self) -> u32 {
        self.permits.saturating_sub(self.sync_reserve)
    }

    /// The permits that sync calls may use.
    #[must_use]
    pub const fn for_sync(self) -> u32 {
        self.permits.saturating_sub(self.async_reserve)
    }

    /// The largest `async_reserve` beside the other limits.
    #[must_use]
    pub fn async_reserve_max(self) -> u32 {
        self.permits.saturating_sub(self.sync_reserve.max(1))
    }

    pub(crate) fn check(self) -> Result<(), InvalidConfig> {
        in_range("gate.permits", u64::from(self.permits), 1, 10_000)?;
        in_range("gate.sync_reserve", u64::from(self.sync_reserve), 0, u64::from(self.permits) - 1)?;
        in_range("gate.async_reserve", u64::from(self.async_reserve), 0, u64::from(self.async_reserve_max()))
    }
}

/// The settings before they are checked. Names that contain `_ms` are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigSpec {
    /// The limits for executions that run at once.
    pub gate: GateLimits,
    /// The time between two discoveries: 1 ms – 60 s. After a slow discovery the pause is longer,
    /// up to 1 s. A lost notification costs at most one pause.
    pub poll_interval_ms: u64,
    /// The most rows that one exchange claims or settles: 1–5,000.
    pub batch_max: u32,
    /// The most bytes that one exchange settles beside its largest settlement, and the most bytes
    /// of event data that it claims: 4 KiB – 64 MiB. A larger event is claimed alone.
    pub exchange_bytes_max: u64,
    /// The most bytes of the effects of one execution: 1 KiB – 64 MiB. An execution with more
    /// fails, and nothing is applied.
    pub effects_bytes_max: u64,
    /// The lease of a claim: 1 s – 1 h. After the crash of a daemon, other daemons wait this long
    /// before they execute its rows.
    pub lease_ms: u64,
    /// The longest time that a claimed row waits for a permit, and then again for a thread, before
    /// it is deferred: 10 ms – half of `lease_ms`.
    pub queue_wait_ms_max: u64,
    /// The most sync calls that wait for a permit: 0–100,000. The next call is refused at once. An
    /// eighth of the places is left to apps without a waiting call.
    pub sync_queue_max: u32,
    /// The longest time that a sync call waits for a permit before it is refused: 1 ms – 10 min.
    pub sync_wait_ms_max: u64,
    /// The mean back-off of a row that found no permit or no thread: 1 ms – 60 s. The jitter is up
    /// to half of the mean in each direction. If the handlers of a trigger repeatedly find no
    /// thread, the mean doubles, up to 32 times this value.
    pub gate_backoff_ms: u64,
    /// The longest chain of events: 1–1,000. Deliveries of deeper events are dropped, except those
    /// of dead-letter handlers.
    pub max_trigger_depth: u32,
    /// How long after its timeout an execution is cancelled: 0–60 s. The timeout counts from the
    /// time at which its handler must have started, at most `queue_wait_ms_max` after its permit.
    pub overrun_ms: u64,
    /// The time after which a shutdown cancels executions that still run: 0–10 min.
    pub shutdown_grace_ms: u64,
}

impl Default for ConfigSpec {
    fn default() -> Self {
        Self {
            gate: GateLimits::default(),
            poll_interval_ms: 100,
            batch_max: 2_000,
            exchange_bytes_max: 4 * MIB,
            effects_bytes_max: 8 * MIB,
            lease_ms: 10_000,
            queue_wait_ms_max: 1_000,
            sync_queue_max: 1_000,
            sync_wait_ms_max: 5_000,
            gate_backoff_ms: 250,
            max_trigger_depth: 16,
            overrun_ms: 2_000,
            shutdown_grace_ms: 10_000,
        }
    }
}

/// A setting that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} must be from {min} to {max}, it is {value}")]
pub struct InvalidConfig {
    /// The key of the setting, such as `dispatcher.lease_ms`.
    pub key: &'static str,
    pub value: u64,
    /// The smallest value of the range.
    pub min: u64,
    /// The largest value of the range.
    pub max: u64,
}

/// Settings that are within their bounds. [`ConfigSpec`] describes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ConfigSpec", into = "ConfigSpec")]
pub struct Config {
    spec: ConfigSpec,
}

impl Config {
    /// The limits of the gate at the start. [`Input::GateChanged`](crate::Input::GateChanged)
    /// replaces them later.
    #[must_use]
    pub const fn gate(&self) -> GateLimits {
        self.spec.gate
    }

    /// The longest pause between two discoveries if `poll_interval_ms` is shorter. A due tick, a
    /// due retry or a row whose lease has expired waits at most this long for a discovery, even if
    /// discoveries are slow.
    pub const DUE_WAIT_MAX: Micros = Micros::from_secs(1);

    /// The time between two discoveries.
    #[must_use]
    pub const fn poll_interval(&self) -> Micros {
        Micros::from_millis(self.spec.poll_interval_ms)
    }

    /// The most rows that one exchange claims or settles.
    #[must_use]
    pub const fn batch_max(&self) -> u32 {
        self.spec.batch_max
    }

    /// The most bytes of an exchange: of its settlements beside the largest one, and of the events
    /// that it claims.
    #[must_use]
    pub const fn exchange_bytes_max(&self) -> u64 {
        self.spec.exchange_bytes_max
    }

    /// The most bytes of the effects of one execution.
    #[must_use]
    pub const fn effects_bytes_max(&self) -> u64 {
        self.spec.effects_bytes_max
    }

    /// The lease of a claim.
    #[must_use]
    pub const fn lease_for(&self) -> Micros {
        Micros::from_millis(self.spec.lease_ms)
    }

    /// The time between two renewals. Three of them fit into a lease.
    #[must_use]
    pub const fn renew_every(&self) -> Micros {
        Micros(self.lease_for().0 / 3)
    }

    /// The longest time that a claimed row waits for a permit.
    #[must_use]
    pub const fn queue_wait_max(&self) -> Micros {
        Micros::from_millis(self.spec.queue_wait_ms_max)
    }

    /// The longest time that an execution with a permit waits until its handler starts. An executor
    /// that cannot start the handler in this time returns [`Outcome::NotStarted`].
    ///
    /// [`Outcome::NotStarted`]: crate::Outcome::NotStarted
    #[must_use]
    pub const fn start_wait_max(&self) -> Micros {
        self.queue_wait_max()
    }

    /// The most sync calls that wait for a permit.
    #[must_use]
    pub const fn sync_queue_max(&self) -> u32 {
        self.spec.sync_queue_max
    }

    /// The longest time that a sync call waits for a permit.
    #[must_use]
    pub const fn sync_wait_max(&self) -> Micros {
        Micros::from_millis(self.spec.sync_wait_ms_max)
    }

    /// The mean back-off of a row that found no permit or no thread.
    #[must_use]
    pub const fn gate_backoff(&self) -> Micros {
        Micros::from_millis(self.spec.gate_backoff_ms)
    }

    /// The longest chain of events.
    #[must_use]
    pub const fn max_trigger_depth(&self) -> u32 {
        self.spec.max_trigger_depth
    }

    /// How long after its timeout a running execution is cancelled.
    #[must_use]
    pub const fn overrun(&self) -> Micros {
        Micros::from_millis(self.spec.overrun_ms)
    }

    /// The time after which a shutdown cancels executions that still run.
    #[must_use]
    pub const fn shutdown_grace(&self) -> Micros {
        Micros::from_millis(self.spec.shutdown_grace_ms)
    }
}

impl TryFrom<ConfigSpec> for Config {
    type Error = InvalidConfig;

    fn try_from(spec: ConfigSpec) -> Result<Self, InvalidConfig> {
        spec.gate.check()?;
        in_range("dispatcher.poll_interval_ms", spec.poll_interval_ms, 1, 60_000)?;
        in_range("dispatcher.batch_max", u64::from(spec.batch_max), 1, 5_000)?;
        in_range("dispatcher.exchange_bytes_max", spec.exchange_bytes_max, 4 * KIB, 64 * MIB)?;
        in_range("scripts.effects_bytes_max", spec.effects_bytes_max, KIB, 64 * MIB)?;
        in_range("dispatcher.lease_ms", spec.lease_ms, 1_000, 3_600_000)?;
        in_range("dispatcher.queue_wait_ms_max", spec.queue_wait_ms_max, 10, spec.lease_ms / 2)?;
        in_range("dispatcher.sync_queue_max", u64::from(spec.sync_queue_max), 0, 100_000)?;
        in_range("dispatcher.sync_wait_ms_max", spec.sync_wait_ms_max, 1, 600_000)?;
        in_range("dispatcher.gate_backoff_ms", spec.gate_backoff_ms, 1, 60_000)?;
        in_range("dispatcher.max_trigger_depth", u64::from(spec.max_trigger_depth), 1, 1_000)?;
        in_range("dispatcher.overrun_ms", spec.overrun_ms, 0, 60_000)?;
        in_range("dispatcher.shutdown_grace_ms", spec.shutdown_grace_ms, 0, 600_000)?;
        Ok(Self { spec })
    }
}

impl From<Config> for ConfigSpec {
    fn from(config: Config) -> Self {
        config.spec
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::try_from(ConfigSpec::default()).expect("the defaults lie within the bounds")
    }
}

fn in_range(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), InvalidConfig> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(InvalidConfig { key, value, min, max }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_setting_that_is_out_of_range() {
        let spec = ConfigSpec { lease_ms: 10, ..ConfigSpec::default() };
        let error = Config::try_from(spec).unwrap_err();
        assert_eq!(error.to_string(), "dispatcher.lease_ms must be from 1000 to 3600000, it is 10");
        let gate = GateLimits { permits: 4, sync_reserve: 4, async_reserve: 0 };
        assert_eq!(Config::try_from(ConfigSpec { gate, ..spec }).unwrap_err().key, "gate.sync_reserve");
        let gate = GateLimits { permits: 4, sync_reserve: 1, async_reserve: 4 };
        let error = Config::try_from(ConfigSpec { gate, ..spec }).unwrap_err();
        assert_eq!(error.to_string(), "gate.async_reserve must be from 0 to 3, it is 4");
        let gate = GateLimits { permits: 0, sync_reserve: 0, async_reserve: 0 };
        assert_eq!(Config::try_from(ConfigSpec { gate, ..spec }).unwrap_err().key, "gate.permits");
    }
}
