//! Faults of nodes, of the network between them, of clocks and of handlers.

use super::clients::{Cluster, later};
use super::referee::Referee;
use super::{Shared, lock};
use crate::plan::{CrashPoint, Fault};
use crate::probes::Probe;
use crate::sabotage::restart_store;
use madsim::net::NetSim;
use madsim::plugin::simulator;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use madsim::time::{Duration, sleep};
use tidegate_core::View;
use tokio::sync::mpsc;

/// The effects of a lost answer after the end of a cut: a timeout and the longest back-off.
const CUT_AFTER_EFFECTS: u64 = 3_300_000;

/// The longest round trip of a claim that was in flight when a clock jumped.
const LEAP_AFTER_EFFECTS: u64 = 6_000;

impl Cluster {
    pub(super) fn inject(&self, n: usize, fault: &Fault, store: NodeId) {
        let mut world = lock(&self.referee);
        world.tell(|| format!("fault: {fault:?}"));
        world.note(fault);
        match fault {
            Fault::Crash { daemon, at: CrashPoint::Now, down } => world.crash(*daemon, CrashPoint::Now, *down),
            Fault::Crash { daemon, at, down } => world.daemons[*daemon].next_crash = Some((*at, *down)),
            Fault::Pause { daemon, length } => {
                drop(world);
                self.pause(*daemon, *length);
            }
            Fault::Shutdown { daemon } => {
                drop(world);
                self.daemons[*daemon].shut_down();
            }
            Fault::Rollout { daemon, settings } => {
                world.daemons[*daemon].settings = *settings;
                drop(world);
                self.daemons[*daemon].shut_down();
            }
            Fault::Store { daemon, fault } => world.daemons[*daemon].store_faults.push_back(*fault),
            Fault::Call { daemon, nth, fault } => _ = world.daemons[*daemon].call_faults.insert(*nth, *fault),
            Fault::Cut { daemon, length, answers } => {
                let until = world.until(*length);
                world.probes.sometimes(Probe::Cut, true);
                world.daemons[*daemon].cut_until = until;
                world.trouble(*daemon, until + CUT_AFTER_EFFECTS);
                let id = self.daemons[*daemon].id();
                let (from, to) = if *answers { (store, id) } else { (id, store) };
                simulator::<NetSim>().clog_link(from, to);
                later(&self.referee, &world, *length, move |_| simulator::<NetSim>().unclog_link(from, to));
            }
            Fault::Outage { length } => self.stop_store(&mut world, store, *length),
            Fault::Deaf { daemon, length } => world.daemons[*daemon].deaf_until = world.until(*length),
            Fault::Full { daemon, length } => world.daemons[*daemon].full_until = world.until(*length),
            Fault::Storm { daemon, count } => {
                world.probes.sometimes(Probe::WokenForNothing, true);
                self.storm(*daemon, *count);
            }
            Fault::Drift { daemon, permille, length } => {
                drop(world);
                self.drift(*daemon, *permille, *length);
            }
            Fault::Leap { daemon, by } => {
                drop(world);
                self.leap(*daemon, *by);
            }
            Fault::StoreClock { by } => {
                world.probes.sometimes(Probe::StoreClockBack, *by < 0);
                world.probes.sometimes(Probe::StoreClockAhead, *by > 0);
                world.set_store_clock(*by);
            }
            Fault::Restore { .. } => world.restore_store(n),
            Fault::Handler { daemon, fault } => world.daemons[*daemon].handler_faults.push_back(*fault),
            Fault::Down { to, length } => {
                let until = world.until(*length);
                world.down.insert(to.clone(), until);
            }
        }
    }

    fn holds_rows(&self, daemon: usize) -> bool {
        self.daemons[daemon].view().is_some_and(|View { held, .. }| held > 0)
    }

    fn pause(&self, daemon: usize, length: u64) {
        let holds = self.holds_rows(daemon);
        let mut world = lock(&self.referee);
        let (now, until) = (world.now(), world.until(length));
        let lease = world.daemons[daemon].settings.lease_ms * 1_000;
        world.probes.sometimes(Probe::PausedPastLease, holds && until - now > lease);
        world.pause(daemon, until);
        let id = self.daemons[daemon].id();
        Handle::current().pause(id);
        later(&self.referee, &world, length, move |world| {
            // A later pause may last longer.
            if !world.is_paused(daemon) {
                Handle::current().resume(id);
            }
        });
    }

    fn stop_store(&self, world: &mut Referee, store: NodeId, length: u64) {
        let until = world.until(length);
        world.outage_until = world.outage_until.max(until);
        (0..self.daemons.len()).for_each(|daemon| world.trouble(daemon, until + CUT_AFTER_EFFECTS));
        let bug = world.bug;
        restart_store(bug, world.store());
        Handle::current().kill(store);
        later(&self.referee, world, length, move |world| {
            // A later outage may last longer.
            if world.outage_until <= world.now() {
                Handle::current().restart(store);
            }
        });
    }

    fn leap(&self, daemon: usize, by: u64) {
        let holds = self.holds_rows(daemon);
        let mut world = lock(&self.referee);
        world.probes.sometimes(Probe::Leapt, holds);
        if let Some(clock) = &world.daemons[daemon].clock {
            clock.leap(by);
        }
        // A claim requested before the jump seems to have expired when its answer arrives.
        let until = world.now() + LEAP_AFTER_EFFECTS;
        world.trouble(daemon, until);
    }

    fn storm(&self, daemon: usize, count: u32) {
        let cluster = self.clone();
        madsim::task::spawn(async move {
            for _ in 0..count {
                cluster.daemons[daemon].wake_for_discovery();
                sleep(Duration::from_millis(1)).await;
            }
        });
    }

    fn drift(&self, daemon: usize, permille: u32, length: u64) {
        let holds = self.holds_rows(daemon);
        let mut world = lock(&self.referee);
        world.probes.sometimes(Probe::Drifted, holds && permille > 0);
        world.probes.sometimes(Probe::StoodStill, holds && permille == 0);
        let until = world.until(length);
        world.trouble(daemon, until);
        let Some(clock) = world.daemons[daemon].clock.clone() else { return };
        clock.set_rate(permille);
        later(&self.referee, &world, length, move |_| clock.set_rate(1_000));
    }

    /// Kills and restarts the nodes of daemons that died.
    pub(super) async fn bury(self, mut deaths: mpsc::UnboundedReceiver<(usize, u64)>) {
        while let Some((daemon, down)) = deaths.recv().await {
            let id = self.daemons[daemon].id();
            self.daemons[daemon].kill();
            madsim::task::spawn(async move {
                sleep(Duration::from_micros(down)).await;
                Handle::current().restart(id);
            });
        }
    }
}

/// No packet is lost from now on.
pub(super) fn heal_network() {
    simulator::<NetSim>().update_config(|config| config.packet_loss_rate = 0.0);
}

/// Takes a sample of all daemons at regular times.
pub(super) async fn sample(cluster: Cluster, every: Duration) {
    loop {
        sleep(every).await;
        let has_room = cluster.daemons.iter().any(super::daemon::Daemon::has_room);
        let referee: &Shared = &cluster.referee;
        lock(referee).sample(has_room);
    }
}
