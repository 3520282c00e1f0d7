//! What goes wrong with nodes and with the network between them.

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

/// Nodes that are down or paused: the runtime wants one of these at a time.
#[derive(Clone, Default)]
pub(super) struct Busy(Arc<Mutex<BTreeSet<NodeId>>>);

impl Busy {
    /// Does `first` to a node now and `then` after a while, unless it has trouble already.
    fn trouble(&self, node: NodeId, length: Duration, first: impl FnOnce(), then: impl FnOnce() + Send + 'static) {
        if !self.0.lock().expect("nobody panicked").insert(node) {
            return;
        }
        first();
        let busy = self.clone();
        madsim::task::spawn(async move {
            sleep(length).await;
            then();
            busy.0.lock().expect("nobody panicked").remove(&node);
        });
    }
}

/// Lets a fault happen; it is over when everything heals, at the latest.
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
        // The database restarts: what it was asked and has not answered, nobody ever hears of.
        Fault::Store { .. } | Fault::Call { .. } => {
            let restart = move || Handle::current().restart(store);
            busy.trouble(store, at_most(50_000), || Handle::current().kill(store), restart);
        }
        Fault::Storm { daemon, .. } => daemons[*daemon].wake(Vec::new()),
        Fault::Drift { daemon, permille, .. } => daemons[*daemon].set_rate(u64::from(*permille)),
        // The rest is a matter of the dispatcher and of the store alone: the other tier's.
        Fault::Deaf { .. }
        | Fault::Leap { .. }
        | Fault::StoreClock { .. }
        | Fault::Handler { .. }
        | Fault::Down { .. } => {}
    }
}

/// Nothing is wrong any more.
pub(super) fn heal(daemons: &[Daemon], store: NodeId) {
    let network = simulator::<NetSim>();
    network.update_config(|config| config.packet_loss_rate = 0.0);
    for daemon in daemons {
        network.unclog_link(daemon.id(), store);
        network.unclog_link(store, daemon.id());
        daemon.set_rate(1_000);
    }
}
