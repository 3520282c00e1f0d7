//! Faults of nodes and of the network between them.

use super::daemon::Daemon;
use crate::plan::Fault;
use madsim::net::NetSim;
use madsim::plugin::simulator;
use madsim::runtime::Handle;
use madsim::task::NodeId;
use madsim::time::{Duration, sleep};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tidegate_driver::Command;

/// Nodes that are down or paused. The runtime allows one such state per node.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<Mutex<BTreeSet<NodeId>>>);

impl Busy {
    /// Runs `first` on a node now and `then` after `length`, unless the node is already down or
    /// paused.
    fn trouble(&self, node: NodeId, length: Duration, first: impl FnOnce(), then: impl FnOnce() + Send + 'static) {
        if !self.0.lock().expect("no lock is poisoned").insert(node) {
            return;
        }
        first();
        let busy = self.clone();
        madsim::task::spawn(async move {
            sleep(length).await;
            then();
            busy.0.lock().expect("no lock is poisoned").remove(&node);
        });
    }
}

/// Injects a fault. It ends after `left` at the latest.
pub(super) fn inject(fault: &Fault, left: Duration, daemons: &[Daemon], store: NodeId, busy: &Busy) {
    let at_most = |length: u64| Duration::from_micros(length).min(left);
    match fault {
        Fault::Crash { daemon, down, .. } => {
            let (daemon, id) = (&daemons[*daemon], daemons[*daemon].id());
            busy.trouble(id, at_most(*down), || daemon.kill(), move || Handle::current().restart(id));
        }
        Fault::Pause { daemon, length } => {
            let id = daemons[*daemon].id();
            let resume = move || Handle::current().resume(id);
            busy.trouble(id, at_most(*length), || Handle::current().pause(id), resume);
        }
        Fault::Shutdown { daemon } | Fault::Rollout { daemon, .. } => daemons[*daemon].command(Command::Shutdown),
        Fault::Cut { daemon, length, answers } => {
            let id = daemons[*daemon].id();
            let (from, to) = if *answers { (store, id) } else { (id, store) };
            simulator::<NetSim>().clog_link(from, to);
            let length = at_most(*length);
            madsim::task::spawn(async move {
                sleep(length).await;
                simulator::<NetSim>().unclog_link(from, to);
            });
        }
        // The database restarts. Requests without an answer are lost.
        Fault::Store { .. } | Fault::Call { .. } => {
            let restart = move || Handle::current().restart(store);
            busy.trouble(store, at_most(50_000), || Handle::current().kill(store), restart);
        }
        Fault::Storm { daemon, .. } => daemons[*daemon].wake(Vec::new()),
        Fault::Drift { daemon, permille, .. } => daemons[*daemon].set_rate(u64::from(*permille)),
        // These faults concern only the dispatcher or the store. Tier 1 covers them.
        Fault::Deaf { .. }
        | Fault::Leap { .. }
        | Fault::StoreClock { .. }
        | Fault::Handler { .. }
        | Fault::Down { .. } => {}
    }
}

pub(super) fn heal(daemons: &[Daemon], store: NodeId) {
    let network = simulator::<NetSim>();
    network.update_config(|config| config.packet_loss_rate = 0.0);
    for daemon in daemons {
        network.unclog_link(daemon.id(), store);
        network.unclog_link(store, daemon.id());
        daemon.set_rate(1_000);
    }
}
