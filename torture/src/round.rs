//! One round: a new store under load and faults for some time, and then the comparison with the
//! ledger.

use crate::cluster::{Cluster, StoreKind};
use crate::faults::{Counts, Faults};
use crate::ledger::Ledger;
use crate::load::{CLIENTS, Load};
use crate::verdict::{Verdict, judge};
use anyhow::{Context as _, ensure};
use rand_chacha::ChaCha8Rng;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A line of progress is printed once in this time.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// The most time until each daemon is ready after the last fault.
const READY_MAX: Duration = Duration::from_secs(30);

pub(crate) struct Round<'a> {
    pub(crate) kind: StoreKind,
    pub(crate) program: &'a Path,
    pub(crate) app: &'a Path,
    pub(crate) length: Duration,
    pub(crate) per_second: u64,
}

impl Round<'_> {
    /// If the round fails, the folder of its store, logs and ledger is kept, and named.
    pub(crate) fn run(&self, random: ChaCha8Rng) -> anyhow::Result<(Counts, Verdict)> {
        let mut cluster = Cluster::start(self.kind, self.program)?;
        cluster.deploy(self.program, self.app)?;
        let result = self.run_on(&mut cluster, Faults::new(random));
        if !matches!(&result, Ok((_, verdict)) if verdict.is_good()) {
            eprintln!("  the store, the logs and the ledger are kept in {}", cluster.keep().display());
        }
        result
    }

    fn run_on(&self, cluster: &mut Cluster, mut faults: Faults) -> anyhow::Result<(Counts, Verdict)> {
        let ledger = Ledger::create(cluster.folder())?;
        let load = Load {
            clients: cluster.clients(),
            ledger: &ledger,
            per_second: self.per_second,
            started_at: Instant::now(),
            next: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        };
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| load.run_client())).collect();
            let injected = self.inject(cluster, &mut faults, &load);
            load.has_ended.store(true, Ordering::Relaxed);
            for client in clients {
                client.join().ok().context("a client panicked")??;
            }
            injected
        })?;
        let client = load.clients.first().context("a cluster has a client")?;
        Ok((faults.counts, judge(client, &ledger)?))
    }

    /// Injects faults for the length of the round. Every daemon is ready afterwards.
    fn inject(&self, cluster: &mut Cluster, faults: &mut Faults, load: &Load<'_>) -> anyhow::Result<()> {
        let mut printed_at = Instant::now();
        while load.started_at.elapsed() < self.length {
            faults.inject(cluster)?;
            for daemon in &mut cluster.daemons {
                ensure!(daemon.is_running(), "a daemon ended without a fault\n{}", daemon.log());
            }
            if printed_at.elapsed() > PROGRESS_INTERVAL {
                printed_at = Instant::now();
                let left = self.length.saturating_sub(load.started_at.elapsed()).as_secs();
                eprintln!("  {} kills, {} acknowledged, {left} s left", faults.counts.kills, load.ledger.len());
            }
        }
        for daemon in &cluster.daemons {
            ensure!(daemon.wait_for_readiness(200, READY_MAX), "a daemon is not ready\n{}", daemon.log());
        }
        Ok(())
    }
}
