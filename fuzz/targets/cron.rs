//! Schedules: ticks go forward, and each tick is the next one after the moment before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::{CronExpression, TimeZone, Timestamp};

const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"];
/// The years 1970 to 2099.
const SECONDS: u64 = 4_102_444_800;

fuzz_target!(|input: (&str, u64, u8)| {
    let (text, at, zone) = input;
    let Ok(expression) = CronExpression::new(text) else { return };
    let zone = TimeZone::new(ZONES[usize::from(zone) % ZONES.len()]).expect("a known time zone");
    let mut now = Timestamp((at % SECONDS) as i64 * 1_000_000);
    for _ in 0..4 {
        let Some(next) = expression.next_after(now, zone) else { return };
        assert!(next > now, "{text:?} ticks at {next:?}, which is not after {now:?}");
        let before = Timestamp(next.0 - 1);
        assert_eq!(expression.next_after(before, zone), Some(next), "{text:?} has another tick just before {next:?}");
        now = next;
    }
});
