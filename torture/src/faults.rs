//! The faults: kills, crashes of the server, broken connections, frozen processes, and steps of the
//! clock.

use crate::cluster::Cluster;
use anyhow::Context as _;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng as _;
use std::time::Duration;
use testkit::Daemon;

/// The clock is set ahead or back by this much.
const STEP_SECONDS: i64 = 3_600;

/// The faults of one or more rounds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Daemons that were ended with SIGKILL.
    pub(crate) kills: u64,
    terminations: u64,
    freezes: u64,
    server_crashes: u64,
    broken_connections: u64,
    clock_steps: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.terminations += other.terminations;
        self.freezes += other.freezes;
        self.server_crashes += other.server_crashes;
        self.broken_connections += other.broken_connections;
        self.clock_steps += other.clock_steps;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kills, terminations, freezes, server_crashes, broken_connections, clock_steps } = self;
        write!(
            f,
            "{kills} kills, {terminations} terminations, {freezes} freezes, {server_crashes} server crashes, \
             {broken_connections} times broken connections, {clock_steps} clock steps"
        )
    }
}

/// Chooses faults and injects them.
pub(crate) struct Faults {
    random: ChaCha8Rng,
    pub(crate) counts: Counts,
    /// The present shift of the clock.
    shift_seconds: i64,
}

impl Faults {
    pub(crate) fn new(random: ChaCha8Rng) -> Self {
        Self { random, counts: Counts::default(), shift_seconds: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    /// Waits for a moment and injects one fault. Every daemon runs afterwards, or is starting.
    pub(crate) fn inject(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        std::thread::sleep(Duration::from_millis(20 + self.below(700)));
        let victim = self.below(cluster.daemons.len() as u64) as usize;
        let daemon = cluster.daemons.get_mut(victim).context("the victim is a daemon")?;
        match (self.below(100), &cluster.server) {
            (0..3, _) => self.terminate(daemon),
            (3..6, _) => self.freeze(daemon)?,
            (6..8, _) => self.step_clock(cluster)?,
            (8..10, Some(server)) => {
                self.counts.server_crashes += 1;
                server.restart_immediate()?;
            }
            (10..16, Some(server)) => {
                self.counts.broken_connections += 1;
                server.terminate_backends()?;
            }
            _ => self.kill(daemon),
        }
        Ok(())
    }

    fn kill(&mut self, daemon: &mut Daemon) {
        self.counts.kills += 1;
        daemon.kill9();
        daemon.relaunch();
    }

    fn terminate(&mut self, daemon: &mut Daemon) {
        self.counts.terminations += 1;
        daemon.terminate();
        daemon.relaunch();
    }

    /// Stops the process for up to 3 s, and once in ten times for longer than a lease.
    fn freeze(&mut self, daemon: &Daemon) -> anyhow::Result<()> {
        self.counts.freezes += 1;
        let duration_ms = if self.below(10) == 0 { 11_000 } else { self.below(3_000) };
        daemon.signal("STOP")?;
        std::thread::sleep(Duration::from_millis(duration_ms));
        Ok(daemon.signal("CONT")?)
    }

    /// Sets the clock ahead or back. The next step sets it right again.
    fn step_clock(&mut self, cluster: &Cluster) -> anyhow::Result<()> {
        self.counts.clock_steps += 1;
        let step = match (self.shift_seconds, self.below(2)) {
            (0, 0) => STEP_SECONDS,
            (0, _) => -STEP_SECONDS,
            (shift, _) => -shift,
        };
        self.shift_seconds += step;
        Ok(cluster.clock.step(step)?)
    }
}
