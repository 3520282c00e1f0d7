use std::time::{SystemTime, UNIX_EPOCH};
use tidegate_core::Timestamp;

/// The time of this machine's clock, for log lines and for ages in the command line's output.
///
/// No decision depends on this clock. The store owns the time of leases and due times.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
