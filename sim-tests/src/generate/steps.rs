//! The steps of clients and operators.

use super::limits;
use crate::draw::Draw;
use crate::plan::{Step, TriggerChange};
use crate::profile::Profile;
use crate::world::SEVERAL_LANES;
use tidegate_core::GateLimits;

/// The triggers that get events.
const LANES: [&str; 9] = ["count", "flaky", "slow", "limited", "loop", "doomed", "owned", "aging", "once"];

pub(super) fn draw(
    draw: &mut Draw,
    profile: Profile,
    daemons: usize,
    gate: GateLimits,
    until: u64,
) -> Vec<(u64, Step)> {
    let many = draw.between(3, 24);
    let mut steps: Vec<(u64, Step)> =
        (0..many).map(|_| (draw.between(0, until), step(draw, profile, daemons, gate))).collect();
    steps.sort_by_key(|(at, _)| *at);
    steps
}

fn step(draw: &mut Draw, profile: Profile, daemons: usize, gate: GateLimits) -> Step {
    match profile {
        Profile::Mixed => mixed_step(draw, daemons, gate),
        Profile::Jitter => emit(draw, &["flaky", "doomed", "aging"], 20),
        Profile::Gate => match draw.between(0, 9) {
            0..=2 => emit(draw, &["slow", "count"], 12),
            3 => Step::Gate { daemon: one_of(draw, daemons), limits: limits(draw, 3) },
            _ => call(draw, daemons),
        },
        Profile::Loops => emit(draw, &["loop"], 3),
        Profile::Crash => match draw.between(0, 9) {
            0..=2 => call(draw, daemons),
            3 => poison(draw),
            4..=6 => emit(draw, &LANES, 20),
            // A backlog of quick rows, so that daemons hold rows ahead.
            _ => emit(draw, &["aging", "owned"], 150),
        },
        Profile::Restore => match draw.between(0, 9) {
            0..=1 => call(draw, daemons),
            _ => emit(draw, &LANES, 6),
        },
        Profile::Fair => match draw.between(0, 9) {
            0..=4 => emit(draw, &["slow", "aging", "flaky"], 40),
            _ => emit(draw, &LANES, 1),
        },
        Profile::Overlap => match draw.between(0, 9) {
            0..=1 => call(draw, daemons),
            _ => emit(draw, &["flaky", "doomed", "owned", "count", "aging"], 20),
        },
    }
}

fn mixed_step(draw: &mut Draw, daemons: usize, gate: GateLimits) -> Step {
    match draw.between(0, 99) {
        0..=39 => emit(draw, &LANES, 6),
        40..=44 => emit(draw, &[SEVERAL_LANES], 9),
        45..=48 => Step::Deploy { change: change(draw), length: length(draw) },
        49 => poison(draw),
        50..=54 => Step::Put { key: draw.between(0, 3) as u32 },
        55..=57 => Step::Rollback { to: draw.one(&LANES).to_owned() },
        58..=82 => call(draw, daemons),
        83..=87 => {
            let limits = limits(draw, 8);
            let limits = GateLimits { sync_reserve: gate.sync_reserve.min(limits.permits - 1), ..limits };
            let async_reserve = limits.async_reserve.min(limits.async_reserve_max());
            Step::Gate { daemon: one_of(draw, daemons), limits: GateLimits { async_reserve, ..limits } }
        }
        88..=91 => Step::Redrive { limit: draw.between(1, 5) as u32 },
        92..=93 => Step::Discard { limit: draw.between(1, 2) as u32 },
        94..=96 => Step::PauseTrigger { trigger: draw.one(&LANES).to_owned(), length: length(draw) },
        _ => Step::Disable { length: length(draw) },
    }
}

/// The triggers whose deliveries end after few attempts.
fn poison(draw: &mut Draw) -> Step {
    Step::Poison { to: draw.one(&["flaky", "doomed", "once"]).to_owned() }
}

fn change(draw: &mut Draw) -> TriggerChange {
    let trigger = draw.one(&["count", "flaky", "slow", "loop", "doomed", "owned", "aging", "once"]).to_owned();
    match draw.between(0, 4) {
        0 => TriggerChange::None,
        1 => TriggerChange::Disabled(trigger),
        2 => TriggerChange::Deleted(trigger),
        3 => TriggerChange::Changed(trigger),
        _ => TriggerChange::Limit(draw.between(1, 4) as u32),
    }
}

fn emit(draw: &mut Draw, lanes: &[&str], most: u64) -> Step {
    // A transaction that took longer than the slack of a claim's floor is found by discovery alone.
    let lag = if draw.permille(100) { draw.between(1, 8_000_000) } else { 0 };
    Step::Emit { to: draw.one(lanes).to_owned(), count: draw.between(1, most) as u32, lag }
}

fn call(draw: &mut Draw, daemons: usize) -> Step {
    let key = draw.permille(300).then(|| draw.between(0, 3) as u32);
    let count = if draw.permille(150) { draw.between(2, 20) as u32 } else { 1 };
    Step::Call { count, daemon: one_of(draw, daemons), patience: draw.between(1, 3_000) * 1_000, key }
}

fn one_of(draw: &mut Draw, daemons: usize) -> usize {
    draw.between(0, daemons as u64 - 1) as usize
}

fn length(draw: &mut Draw) -> u64 {
    draw.between(1, 2_000) * 1_000
}
