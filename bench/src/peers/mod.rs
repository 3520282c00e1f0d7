//! What other queues do on the same machine, with the same jobs and the same Postgres, in the same run.
//!
//! Each is a small program in `bench/peers`, in the queue's own language; that folder's README tells what is compared and
//! what is not the same work. A peer that cannot be installed, or fails, or gives figures that do not add up is a row of
//! the result with its reason: no peer is ever missing.

mod child;
mod install;
mod list;
mod places;
mod result;
mod table;

pub use list::{PEERS, Peer, Program, Setting};
pub use result::{Latency, Measured, Outcome, PeerResult};
pub use table::{Bar, bars, best, markdown};

use child::Child;
use install::{Installed, install};
use places::Places;
use std::collections::BTreeMap;
use std::time::Duration;

/// A run is given as long, and ends itself with an error then.
const RUN_DEADLINE: Duration = Duration::from_secs(180);

/// Installs and runs every peer in each of its settings, one after the other, and gives a result for each.
///
/// `postgres_url` names a server whose commits are durable and a user who may create databases: each run has one of its
/// own, dropped at its end. `jobs` is how many are drained; settings that are slow by design drain fewer and say so.
/// `progress` gets a line whenever there is something to say, several times a minute.
#[must_use]
pub fn run(postgres_url: &str, jobs: u64, progress: &mut dyn FnMut(&str)) -> Vec<PeerResult> {
    let places = Places::of_this_program();
    let mut installed = BTreeMap::new();
    let mut results = Vec::new();
    for peer in PEERS {
        let family = peer.program.family();
        let ready = installed.entry(family).or_insert_with(|| {
            progress(&format!("installing the peers in {family}"));
            install(family, &places, &mut |line| progress(&format!("{family}: {line}")))
        });
        for setting in peer.settings {
            let outcome = match ready {
                Ok(ready) => run_one(ready, peer, setting, postgres_url, jobs, progress),
                Err(why) => Err(format!("not installed: {why}")),
            };
            results.push(outcome.unwrap_or_else(|reason| {
                progress(&format!("{} ({}) failed: {reason}", peer.name, setting.name));
                PeerResult::failed(peer, setting, reason)
            }));
        }
    }
    results
}

fn run_one(
    installed: &Installed,
    peer: &Peer,
    setting: &Setting,
    postgres_url: &str,
    jobs: u64,
    progress: &mut dyn FnMut(&str),
) -> Result<PeerResult, String> {
    let jobs = setting.jobs_max.map_or(jobs, |most| most.min(jobs));
    let what = format!("{} ({})", peer.name, setting.name);
    progress(&format!("{what}: {jobs} jobs"));
    let mut command = installed.command(peer.program);
    command.args([setting.name, &jobs.to_string(), &RUN_DEADLINE.as_secs().to_string()]);
    command.env("PEER_POSTGRES", postgres_url);
    // Enough for it to notice its deadline by itself, and to be the one that says so.
    let output = Child::run(command, RUN_DEADLINE + Duration::from_secs(20), &mut |line| {
        progress(&format!("{what}: {line}"));
    })?;
    PeerResult::parse(&output, peer, jobs)
}
