//! The real driver on a simulated runtime. Daemons and the store are nodes with a network between
//! them, and the plans are those of tier 1. This tier adds the async shell, cancellation and lost
//! packets.
//!
//! A process plays one seed, because the runtime keeps state in global variables.

mod daemon;
mod faults;
mod referee;
mod store;

use crate::app::{app, principal};
use crate::checkers::{Life, Observation, Violation};
use crate::plan::{Plan, Step};
use crate::sabotage::Bug;
use crate::trace::TraceMode;
use crate::world::{as_exchange, event, incarnation};
use daemon::Daemon;
use madsim::runtime::Runtime;
use madsim::time::{Duration, Instant, sleep};
use referee::Referee;
use std::sync::{Arc, Mutex};
use tidegate_core::{Cause, OpId};
use tidegate_ports::{Emission, EmittedEvent, InlineClaimGuard};

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOutcome {
    pub violation: Option<Violation>,
    pub applied: u64,
    /// The simulated time, in microseconds.
    pub lasted: u64,
    /// The hash of all store requests and answers.
    pub hash: String,
    /// The timeline, if requested.
    pub timeline: Vec<String>,
}

type Shared = Arc<Mutex<Referee>>;

/// The longest time from the end of all faults to the end of all deliveries.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// Plays `plan` on a runtime of its own, optionally with a planted bug in the store.
#[must_use]
pub fn play_cluster(plan: &Plan, mode: TraceMode, bug: Option<Bug>) -> ClusterOutcome {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<String>().is_none_or(|message| message != daemon::HANDLER_PANIC) {
            eprintln!("{panic}");
        }
    }));
    let mut config = madsim::Config::default();
    config.net.send_latency = Duration::from_micros(50)..Duration::from_micros(600);
    config.net.packet_loss_rate = if plan.seed.is_multiple_of(3) { 0.01 } else { 0.0 };
    let runtime = Runtime::with_seed_and_config(plan.seed, config);
    let plan = Arc::new(plan.clone());
    let referee: Shared = Arc::new(Mutex::new(Referee::new(&plan, mode, bug)));
    let lasted = runtime.block_on(play(Arc::clone(&plan), Arc::clone(&referee)));
    drop(runtime);
    let mut referee = referee.lock().expect("no lock is poisoned");
    referee.finish(lasted)
}

enum Event {
    Step(usize),
    Fault(usize),
}

/// Runs all events at their times, ends all faults, and waits until every delivery has ended.
async fn play(plan: Arc<Plan>, referee: Shared) -> u64 {
    let started = Instant::now();
    referee.lock().expect("no lock is poisoned").start(started);
    let (store, busy) = (store::start(&referee), faults::Busy::default());
    let heals = started + Duration::from_micros(plan.heal_at);
    let daemons: Vec<Daemon> = (0..plan.daemons).map(|number| Daemon::start(number, &plan, &referee)).collect();
    let steps = plan.steps.iter().enumerate().map(|(n, (at, _))| (*at, Event::Step(n)));
    let faults = plan.faults.iter().enumerate().map(|(n, (at, _))| (*at, Event::Fault(n)));
    let mut events: Vec<(u64, Event)> = steps.chain(faults).collect();
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        madsim::time::sleep_until(started + Duration::from_micros(at)).await;
        match event {
            Event::Step(n) => step(&plan.steps[n].1, &daemons, &referee),
            Event::Fault(n) => {
                let (fault, left) = (&plan.faults[n].1, heals.saturating_duration_since(Instant::now()));
                referee.lock().expect("no lock is poisoned").tell(|| format!("fault: {fault:?}"));
                faults::inject(fault, left, &daemons, store, &busy);
            }
        }
    }
    // Faults that end at `heal_at` end first.
    madsim::time::sleep_until(heals + Duration::from_millis(2)).await;
    faults::heal(&daemons, store);
    let healed = Instant::now();
    while !is_over(&daemons, &referee) {
        if healed.elapsed() > DRAIN_MAX {
            let views: Vec<_> = daemons.iter().map(Daemon::view).collect();
            referee.lock().expect("no lock is poisoned").stuck(format!("some deliveries have not ended: {views:?}"));
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    referee.lock().expect("no lock is poisoned").observe(&Observation::RunEnded);
    daemons.iter().for_each(Daemon::kill);
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn is_over(daemons: &[Daemon], referee: &Shared) -> bool {
    let is_done = referee.lock().expect("no lock is poisoned").is_done();
    is_done || daemons.iter().all(Daemon::is_quiet) && referee.lock().expect("no lock is poisoned").is_empty()
}

fn step(step: &Step, daemons: &[Daemon], referee: &Shared) {
    let mut world = referee.lock().expect("no lock is poisoned");
    world.tell(|| format!("clients: {step:?}"));
    let mut emitted: Vec<EmittedEvent> = match step {
        Step::Emit { to, count, .. } => {
            let events = vec![event(to, ""); *count as usize];
            let cause = Cause::outside(principal("admin"));
            let emission = Emission { app: app(), events, cause, idempotency_key: None };
            world.store().emit(&emission).expect("the app is there")
        }
        Step::Call { count, daemon, patience, key } => {
            drop(world);
            return (0..*count).for_each(|_| daemons[*daemon].call(*patience, *key));
        }
        Step::Gate { daemon, limits } => {
            drop(world);
            return daemons[*daemon].change_gate(*limits);
        }
        _ => return,
    };
    world.observe(&Observation::OutboxChanged);
    let daemon = &daemons[emitted.iter().map(|one| one.lanes.len()).sum::<usize>() % daemons.len()];
    if let Some((of, guard)) = daemon.try_inline_claim() {
        claim_inline(&mut world, &mut emitted, of, guard);
    }
    drop(world);
    daemon.wake(emitted.iter().flat_map(EmittedEvent::unclaimed_lanes).collect());
}

/// The daemon that emits claims the rows inline, in the same transaction.
fn claim_inline(world: &mut Referee, emitted: &mut [EmittedEvent], of: Life, guard: InlineClaimGuard) {
    let lease_for = guard.lease_for();
    let claimed = world.store().claim_inline(emitted, guard.room(), lease_for);
    let (request, reply) = as_exchange(&claimed, world.store().now(), lease_for);
    world.observe(&Observation::StoreCalled { of, op: None, request: &request });
    // No dispatcher sent this request, so it has no number of its own.
    let op = OpId { incarnation: incarnation(of.daemon, of.life), seq: u64::MAX };
    world.observe(&Observation::StoreApplied { of, op, request: &request, reply: &reply });
    guard.hand_over(claimed);
}
