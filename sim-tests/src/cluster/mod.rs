//! The real driver on a simulated runtime. Daemons and the store are nodes with a network between
//! them, and the plans are those of tier 1. This tier adds the async shell, cancellation and lost
//! packets.
//!
//! A process plays one seed, because the runtime keeps state in global variables.

mod clients;
mod clock;
mod daemon;
mod daemon_state;
mod faults;
mod ports;
mod referee;
mod store;
mod watched;

use crate::checkers::Violation;
use crate::plan::Plan;
use crate::probes::Probes;
use crate::sabotage::Bug;
use crate::trace::TraceMode;
use clients::Cluster;
use daemon::Daemon;
use madsim::runtime::Runtime;
use madsim::time::{Duration, Instant, sleep, sleep_until};
use referee::Referee;
use std::sync::{Arc, Mutex, MutexGuard};

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOutcome {
    pub violation: Option<Violation>,
    pub probes: Probes,
    pub applied: u64,
    /// The simulated time, in microseconds.
    pub lasted: u64,
    /// The hash of every input and output, if requested.
    pub hash: String,
    /// The timeline, if requested.
    pub timeline: Vec<String>,
}

type Shared = Arc<Mutex<Referee>>;

fn lock(referee: &Shared) -> MutexGuard<'_, Referee> {
    referee.lock().expect("no lock is poisoned")
}

/// The longest time from the end of all faults to the end of all deliveries.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// The interval of latency samples.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);
/// Every so many seeds the network loses packets.
const LOSSY_ONE_OF: u64 = 5;

/// Plays `plan` on a runtime of its own, optionally with a planted bug.
#[must_use]
pub fn play_cluster(plan: &Plan, mode: TraceMode, bug: Option<Bug>) -> ClusterOutcome {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<String>().is_none_or(|message| message != ports::HANDLER_PANIC) {
            eprintln!("{panic}");
        }
    }));
    let is_lossy = plan.seed.is_multiple_of(LOSSY_ONE_OF);
    let mut config = madsim::Config::default();
    config.net.send_latency = Duration::from_micros(50)..Duration::from_micros(600);
    config.net.packet_loss_rate = if is_lossy { 0.01 } else { 0.0 };
    let runtime = Runtime::with_seed_and_config(plan.seed, config);
    let referee: Shared = Arc::new(Mutex::new(Referee::new(plan, mode, bug, is_lossy)));
    let lasted = runtime.block_on(play(Arc::new(plan.clone()), Arc::clone(&referee)));
    drop(runtime);
    lock(&referee).finish(lasted)
}

enum Event {
    Save(usize),
    Step(usize),
    Fault(usize),
}

/// The steps and faults of a plan, and the states of the store that a restore needs, by time.
fn events(plan: &Plan) -> Vec<(u64, Event)> {
    let steps = plan.steps.iter().enumerate().map(|(n, (at, _))| (*at, Event::Step(n)));
    let faults = plan.faults.iter().enumerate().map(|(n, (at, _))| (*at, Event::Fault(n)));
    let saves = plan.saves().map(|(at, n)| (at, Event::Save(n)));
    let mut events: Vec<(u64, Event)> = saves.chain(steps).chain(faults).collect();
    events.sort_by_key(|(at, _)| *at);
    events
}

/// Runs all events at their times, ends all faults, and waits until every delivery has ended.
async fn play(plan: Arc<Plan>, referee: Shared) -> u64 {
    let started = Instant::now();
    let (deaths, dead) = tokio::sync::mpsc::unbounded_channel();
    lock(&referee).start(started, deaths);
    let store = store::start(&referee);
    let daemons = (0..plan.daemons).map(|number| Daemon::start(number, &referee)).collect();
    let cluster = Cluster { daemons: Arc::new(daemons), referee: Shared::clone(&referee) };
    madsim::task::spawn(cluster.clone().bury(dead));
    madsim::task::spawn(faults::sample(cluster.clone(), SAMPLE_EVERY));
    for (at, event) in events(&plan) {
        sleep_until(started + Duration::from_micros(at)).await;
        if lock(&referee).is_broken() {
            break;
        }
        match event {
            Event::Step(n) => cluster.step(&plan.steps[n].1),
            Event::Save(n) => lock(&referee).save_store(n),
            Event::Fault(n) => cluster.inject(n, &plan.faults[n].1, store),
        }
    }
    // Faults that end at `heal_at` end first.
    sleep_until(started + Duration::from_micros(plan.heal_at + 2_000)).await;
    faults::heal_network();
    let healed = Instant::now();
    while !is_over(&cluster) {
        if healed.elapsed() > DRAIN_MAX {
            let views: Vec<_> = cluster.daemons.iter().map(Daemon::view).collect();
            lock(&referee).stuck(&format!("{views:?}"));
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    lock(&referee).end_run();
    cluster.daemons.iter().for_each(Daemon::kill);
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn is_over(cluster: &Cluster) -> bool {
    let world = lock(&cluster.referee);
    if world.is_broken() {
        return true;
    }
    let is_empty = world.is_empty();
    drop(world);
    is_empty && cluster.daemons.iter().all(Daemon::is_quiet)
}
