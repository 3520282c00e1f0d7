//! Faults. Some seeds leave out whole classes of faults and keep the total number, so that the
//! remaining classes occur more often.

use super::{SECOND, limits, version};
use crate::draw::Draw;
use crate::plan::{CrashPoint, Fault, HandlerFault, Settings, StoreFault};
use crate::profile::Profile;

const CLASSES: u64 = 23;

pub(super) fn draw(draw: &mut Draw, profile: Profile, daemons: usize, until: u64) -> Vec<(u64, Fault)> {
    let classes: Vec<u64> = (0..CLASSES).filter(|_| draw.permille(600)).collect();
    if classes.is_empty() {
        return Vec::new();
    }
    let classes = match profile {
        Profile::Overlap => vec![10, 11, 12],
        Profile::Crash => vec![0, 1, 1, 3],
        Profile::Restore => vec![2, 11, 12, 22, 22],
        _ => classes,
    };
    let many = match profile {
        Profile::Mixed => draw.between(0, 30),
        Profile::Overlap => draw.between(10, 60),
        Profile::Crash => draw.between(3, 20),
        Profile::Restore => draw.between(2, 12),
        _ => draw.between(0, 6),
    };
    let mut faults: Vec<(u64, Fault)> = (0..many)
        .map(|_| {
            let class = draw.one(&classes);
            let daemon = draw.between(0, daemons as u64 - 1) as usize;
            (draw.between(0, until), fault(draw, class, daemon))
        })
        .collect();
    faults.sort_by_key(|(at, _)| *at);
    // The simulated store counts its claims while its clock is behind. So after a restore to a time
    // before the clock was set back it would repeat their numbers.
    if faults.iter().any(|(_, fault)| matches!(fault, Fault::Restore { .. })) {
        faults.retain(|(_, fault)| !matches!(fault, Fault::StoreClock { by } if *by < 0));
    }
    // A store does not notice that its clock was ahead for a moment. So no run sets the clock far
    // ahead and far back.
    if faults.iter().any(|(_, fault)| matches!(fault, Fault::StoreClock { by } if *by > STEP_MAX)) {
        faults.retain(|(_, fault)| !matches!(fault, Fault::StoreClock { by } if *by < -STEP_MAX));
    }
    faults
}

/// The largest small step of the store's clock.
const STEP_MAX: i64 = 4 * SECOND as i64;

fn fault(draw: &mut Draw, class: u64, daemon: usize) -> Fault {
    let length = draw.between(1, 3_000) * 1_000;
    let store = |fault| Fault::Store { daemon, fault };
    match class {
        0 => Fault::Crash { daemon, at: CrashPoint::Now, down: length },
        1 => Fault::Crash { daemon, at: moment(draw), down: length / 4 },
        2 => Fault::Pause { daemon, length },
        3 => Fault::Shutdown { daemon },
        4 => Fault::Rollout { daemon, settings: settings(draw) },
        5 => store(StoreFault::Refused),
        6 => store(StoreFault::Contention),
        7 => store(StoreFault::Exhausted(length / 2)),
        8 => store(StoreFault::QuestionLost),
        9 => store(StoreFault::AnswerLost),
        10 => store(StoreFault::AnswerTwice),
        11 => store(StoreFault::Late(length)),
        12 if draw.permille(500) => store(StoreFault::AnswerSlow(length / 4)),
        12 => store(StoreFault::Slow(length)),
        13 => Fault::Cut { daemon, length: length / 2, answers: draw.permille(500) },
        14 => Fault::Deaf { daemon, length },
        15 => Fault::Storm { daemon, count: draw.between(1, 50) as u32 },
        16 => Fault::Drift { daemon, permille: draw.one(&[0, 500, 900, 1_100, 2_000]), length },
        17 => Fault::Leap { daemon, by: length },
        18 if draw.permille(500) => Fault::StoreClock { by: draw.between(0, 2 * STEP_MAX as u64) as i64 - STEP_MAX },
        18 => {
            let by = draw.between(2 * 60 * SECOND, 3_600 * SECOND) as i64;
            Fault::StoreClock { by: if draw.permille(500) { by } else { -by } }
        }
        22 => Fault::Restore { back: length },
        19 => Fault::Outage { length: length / 4 },
        20 => Fault::Full { daemon, length },
        _ if draw.permille(700) => Fault::Handler { daemon, fault: handler(draw) },
        _ => Fault::Down { to: draw.one(&["count", "flaky", "owned", "page"]).to_owned(), length },
    }
}

fn moment(draw: &mut Draw) -> CrashPoint {
    draw.one(&[
        CrashPoint::Asking,
        CrashPoint::Applied,
        CrashPoint::Starting,
        CrashPoint::Running,
        CrashPoint::Ended,
        CrashPoint::Settled,
    ])
}

fn handler(draw: &mut Draw) -> HandlerFault {
    match draw.between(0, 7) {
        0 => HandlerFault::Hang,
        7 => HandlerFault::NotStarted,
        5 => HandlerFault::Denied,
        6 => HandlerFault::Missing,
        1 => HandlerFault::Panic,
        2 => HandlerFault::SuccessAsFailure,
        3 => HandlerFault::RetryAfter(draw.between(1, 1_000_000)),
        _ => HandlerFault::Permanent,
    }
}

fn settings(draw: &mut Draw) -> Settings {
    Settings {
        gate: limits(draw, 8),
        lease_ms: draw.one(&[1_000, 3_000]),
        batch_max: draw.one(&[1, 50]),
        version: version(draw, 300),
    }
}
