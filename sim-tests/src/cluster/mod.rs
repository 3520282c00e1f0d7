//! The real driver on a simulated runtime: daemons and the store are nodes with a network between them, and the plans are
//! those of the other tier. What that one cannot see is here: the async shell, cancellation, lost packets.
//!
//! A process plays one seed: what the runtime keeps in global variables would make the second one another.

mod daemon;
mod faults;
mod referee;
mod store;

use crate::checkers::{Life, Observation, Violation};
use crate::plan::{Plan, Step};
use crate::sabotage::Bug;
use crate::trace::TraceMode;
use crate::world::{event, incarnation, principal};
use daemon::Daemon;
use madsim::runtime::Runtime;
use madsim::time::{Duration, Instant, sleep};
use referee::Referee;
use std::sync::{Arc, Mutex};
use tidegate_core::{Cause, ExchangeReply, OpId, Reply, Request};
use tidegate_ports::{Emission, EmittedEvent, InlineClaimGuard};

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// Store calls that were applied.
    pub applied: u64,
    /// How long the cluster lived, in simulated microseconds.
    pub lasted: u64,
    /// The hash of all that the store was asked and answered.
    pub hash: String,
    /// The timeline, if it was asked for.
    pub timeline: Vec<String>,
}

type Shared = Arc<Mutex<Referee>>;

/// How long everything may take to end after nothing goes wrong any more.
const DRAIN_MAX: Duration = Duration::from_secs(120);

/// Plays `plan` on a runtime of its own, with a bug in the store or without.
#[must_use]
pub fn play_cluster(plan: &Plan, mode: TraceMode, bug: Option<Bug>) -> Played {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<String>().is_none_or(|said| said != daemon::HANDLER_PANIC) {
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
    let mut referee = referee.lock().expect("nobody panicked");
    referee.finish(lasted)
}

enum Event {
    Step(usize),
    Fault(usize),
}

/// Lets everything happen in its time; when all has healed, waits for the end.
async fn play(plan: Arc<Plan>, referee: Shared) -> u64 {
    let started = Instant::now();
    referee.lock().expect("nobody panicked").start(started);
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
                referee.lock().expect("nobody panicked").tell(|| format!("fault: {fault:?}"));
                faults::inject(fault, left, &daemons, store, &busy);
            }
        }
    }
    // What ends at the same observation ends first.
    madsim::time::sleep_until(heals + Duration::from_millis(2)).await;
    faults::heal(&daemons, store);
    let healed = Instant::now();
    while !is_over(&daemons, &referee) {
        if healed.elapsed() > DRAIN_MAX {
            let views: Vec<_> = daemons.iter().map(Daemon::view).collect();
            referee.lock().expect("nobody panicked").stuck(format!("not everything has ended: {views:?}"));
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    referee.lock().expect("nobody panicked").observe(&Observation::RunEnded);
    daemons.iter().for_each(Daemon::kill);
    u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn is_over(daemons: &[Daemon], referee: &Shared) -> bool {
    let is_done = referee.lock().expect("nobody panicked").is_done();
    is_done || daemons.iter().all(Daemon::is_quiet) && referee.lock().expect("nobody panicked").is_empty()
}

fn step(step: &Step, daemons: &[Daemon], referee: &Shared) {
    let mut world = referee.lock().expect("nobody panicked");
    world.tell(|| format!("clients: {step:?}"));
    let mut emitted: Vec<EmittedEvent> = match step {
        Step::Emit { to, count, .. } => {
            let events = vec![event(to, ""); *count as usize];
            let cause = Cause::outside(principal("admin"));
            let emission = Emission { app: crate::world::app(), events, cause, idempotency_key: None };
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
    if let Some((of, offer)) = daemon.try_inline_claim() {
        claim_inline(&mut world, &mut emitted, of, offer);
    }
    drop(world);
    daemon.wake(emitted.iter().flat_map(EmittedEvent::waiting).collect());
}

/// A daemon that emits claims what it has written in the same transaction.
fn claim_inline(world: &mut Referee, emitted: &mut [EmittedEvent], of: Life, offer: InlineClaimGuard) {
    let claim = offer.room().quotas(emitted.iter().flat_map(|one| one.lanes.iter().copied()), world.store().now());
    if claim.is_empty() {
        return;
    }
    let request = Request::Exchange { settle: Vec::new(), claim, lease_for: offer.lease_for() };
    world.observe(&Observation::StoreCalled { of, op: None, request: &request });
    // No dispatcher has sent it, so none has numbered it.
    let op = OpId { incarnation: incarnation(of.daemon, of.life), seq: u64::MAX };
    if let Reply::Exchange(ExchangeReply { claimed, .. }) = world.apply(of, op, &request) {
        emitted.iter_mut().for_each(|one| one.note_claimed(&claimed));
        offer.claimed(claimed);
    }
}
