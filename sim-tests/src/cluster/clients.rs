//! The steps of clients and operators.

use super::daemon::Daemon;
use super::referee::Referee;
use super::{Shared, lock};
use crate::app::{OWNER, POISON, app, deploy_probe, principal};
use crate::checkers::{Life, Observation};
use crate::plan::{CrashPoint, Step, TriggerChange, Version};
use crate::probes::Probe;
use crate::sabotage::{claim_inline, fan_out_again};
use crate::world::{as_exchange, emission, event, incarnation, put, selection, set_paused};
use madsim::time::{Duration, sleep};
use std::sync::Arc;
use tidegate_core::{Delivery, Micros, OpId, TriggerId};
use tidegate_ports::{Emission, EmittedEvent, InlineClaimGuard};

/// The daemons of a cluster, and its store.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) daemons: Arc<Vec<Daemon>>,
    pub(super) referee: Shared,
}

impl Cluster {
    pub(super) fn step(&self, step: &Step) {
        let mut world = lock(&self.referee);
        world.tell(|| format!("clients: {step:?}"));
        world.note(step);
        match step {
            Step::Emit { to, count, lag } => {
                world.probes.sometimes(Probe::CommittedLate, *lag > 0);
                let bug = world.bug;
                let store = world.store();
                let now = store.now();
                store.set_now(now.minus(Micros(*lag)));
                let emitted = store.emit(&emission(to, *count)).expect("the app is there");
                fan_out_again(bug, store);
                store.set_now(now);
                self.announce(world, emitted);
            }
            Step::Put { key } => {
                let now = world.now();
                let emitted = put(world.store(), *key, now);
                self.announce(world, vec![emitted]);
            }
            Step::Rollback { to } => {
                world.probes.sometimes(Probe::RolledBack, true);
                let mut copy = world.store().clone();
                let emitted = copy.emit(&emission(to, 1)).expect("the app is there");
                drop(world);
                self.notify(&emitted.into_iter().flat_map(|one| one.lanes).collect::<Vec<_>>());
            }
            Step::Call { count, daemon, patience, key } => {
                let is_away = world.is_paused(*daemon);
                drop(world);
                let callers = if is_away { 0 } else { *count };
                (0..callers).for_each(|_| self.daemons[*daemon].call(*patience, *key));
            }
            Step::Gate { daemon, limits } => {
                drop(world);
                self.daemons[*daemon].change_gate(*limits);
            }
            Step::Redrive { limit } => {
                let batch = world.store().redrive(&app(), &selection(*limit)).expect("the app is there");
                world.observe(&Observation::OutboxChanged);
                drop(world);
                self.notify(&batch.woken_lanes);
            }
            Step::Discard { limit } => {
                world.store().discard(&app(), &selection(*limit)).expect("the app is there");
            }
            Step::PauseTrigger { trigger, length } => {
                set_paused(world.store(), trigger, true);
                let trigger = trigger.clone();
                later(&self.referee, &world, *length, move |world| set_paused(world.store(), &trigger, false));
            }
            Step::Disable { length } => {
                world.store().set_disabled(&principal(OWNER), true);
                later(&self.referee, &world, *length, |world| {
                    world.store().set_disabled(&principal(OWNER), false);
                });
            }
            Step::Deploy { change, length } => self.deploy(&mut world, change, *length),
            Step::Poison { to } => {
                drop(world);
                self.poison(to);
            }
        }
    }

    fn deploy(&self, world: &mut Referee, change: &TriggerChange, length: u64) {
        if let Some(probe) = deploy_probe(world.store(), change) {
            world.probes.sometimes(probe, true);
        }
        world.deploy(change);
        later(&self.referee, world, length, |world| world.deploy(&TriggerChange::None));
    }

    /// Emits an event that kills each daemon that executes it.
    fn poison(&self, to: &str) {
        let poison = Emission { events: vec![event(to, POISON)], ..emission(to, 1) };
        let mut world = lock(&self.referee);
        let emitted = world.store().emit(&poison).expect("the app is there");
        world.observe(&Observation::OutboxChanged);
        drop(world);
        self.notify(&emitted.into_iter().flat_map(|one| one.lanes).collect::<Vec<_>>());
    }

    /// Claims rows inline if a daemon with inline room wrote them, and notifies daemons of the
    /// others.
    fn announce(&self, mut world: std::sync::MutexGuard<'_, Referee>, mut emitted: Vec<EmittedEvent>) {
        world.observe(&Observation::OutboxChanged);
        let number = world.draw.between(0, self.daemons.len() as u64 - 1) as usize;
        let emits = world.draw.permille(500);
        let now = world.now();
        let is_there = emits && !world.is_paused(number) && world.daemons[number].cut_until <= now;
        let may_claim = world.outage_until <= now && world.daemons[number].version == Version::Current;
        drop(world);
        let daemon = &self.daemons[number];
        if let Some((of, guard)) = if is_there && may_claim { daemon.try_inline_claim() } else { None } {
            let claimed = claim_written(&mut lock(&self.referee), &mut emitted, of, &guard);
            if let Some(claimed) = claimed {
                daemon.hand_over(of, guard, claimed);
            }
        }
        self.notify(&emitted.iter().flat_map(EmittedEvent::unclaimed_lanes).collect::<Vec<_>>());
    }

    /// Notifies one daemon, and perhaps a second one. The others find the rows by discovery.
    fn notify(&self, lanes: &[TriggerId]) {
        let mut world = lock(&self.referee);
        let first = world.draw.between(0, self.daemons.len() as u64 - 1) as usize;
        let times = world.draw.between(0, 2) as usize;
        drop(world);
        for nth in 0..times {
            let daemon = (first + nth / 2) % self.daemons.len();
            let mut world = lock(&self.referee);
            let is_deaf = world.daemons[daemon].deaf_until > world.now();
            world.probes.sometimes(Probe::NoticeLost, is_deaf);
            let version = world.daemons[daemon].version;
            drop(world);
            match version {
                _ if is_deaf => {}
                Version::Current => self.daemons[daemon].wake(lanes),
                Version::Previous => self.daemons[daemon].wake_for_discovery(),
            }
        }
    }
}

/// Ends the effect of a step after `length`, at the latest when all faults heal.
pub(super) fn later(
    referee: &Shared,
    world: &Referee,
    length: u64,
    change: impl FnOnce(&mut Referee) + Send + 'static,
) {
    let wait = world.until(length) - world.now();
    let referee = Shared::clone(referee);
    madsim::task::spawn(async move {
        sleep(Duration::from_micros(wait)).await;
        change(&mut lock(&referee));
    });
}

/// Makes an inline claim of the rows of `emitted`, in the transaction that wrote them. Returns the
/// rows, if the daemon gets them.
fn claim_written(
    world: &mut Referee,
    emitted: &mut [EmittedEvent],
    of: Life,
    guard: &InlineClaimGuard,
) -> Option<Vec<Arc<Delivery>>> {
    let (lease_for, bug) = (guard.lease_for(), world.bug);
    let claimed = claim_inline(bug, world.store(), emitted, guard.room(), lease_for);
    let (request, reply) = as_exchange(&claimed, world.store().now(), lease_for);
    world.observe(&Observation::StoreCalled { of, op: None, request: &request });
    world.trace.tell_applied(of.daemon, &request, &reply);
    // No dispatcher sent this request, so it has no number of its own.
    let op = OpId { incarnation: incarnation(of.daemon, of.life), seq: u64::MAX };
    world.observe(&Observation::StoreApplied { of, op, request: &request, reply: &reply });
    world.probes.sometimes(Probe::InlineClaimed, !claimed.is_empty());
    let has_rest = emitted.iter().any(|one| one.unclaimed_lanes().next().is_some());
    world.probes.sometimes(Probe::InlineClaimedPart, !claimed.is_empty() && has_rest);
    if claimed.is_empty() || world.crashes_at(of.daemon, CrashPoint::Applied) {
        return None;
    }
    let is_lost = world.has_faults() && world.draw.permille(50);
    if is_lost {
        world.probes.sometimes(Probe::InlineClaimLost, true);
        let now = world.now();
        world.trouble(of.daemon, now);
    }
    (!is_lost).then_some(claimed)
}
