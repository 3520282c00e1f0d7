//! Measures other queues on the same machine, with the same jobs and the same Postgres, in the same
//! run.
//!
//! Each peer is a small program in `bench/peers`, in the language of the queue. The README of that
//! folder describes the work and the differences in it. A peer that cannot be installed, fails, or
//! reports inconsistent figures has a row in the result with the reason, so that no peer is
//! missing.

mod child;
mod folders;
mod install;
mod list;
mod result;
mod table;

pub use list::{PEERS, Peer, Program, Setting};
pub use result::{Latency, Outcome, PeerFigures, PeerResult};
pub use table::{Bar, bars, best, markdown};

use child::Child;
use folders::PeerFolders;
use install::{Installed, install};
use std::collections::BTreeMap;
use std::time::Duration;

/// The program of a peer ends itself with an error after this time.
const RUN_DEADLINE: Duration = Duration::from_secs(180);

/// Installs and runs every peer in each of its settings, one after the other, and returns a result
/// for each.
///
/// `postgres_url` names a server with durable commits and a user that may create databases. Each
/// run creates a database and drops it at its end. `jobs` is the number of jobs; settings that are
/// slow by design drain fewer, and their results say so. `progress` gets several lines a minute.
#[must_use]
pub fn run(postgres_url: &str, jobs: u64, progress: &mut dyn FnMut(&str)) -> Vec<PeerResult> {
    let folders = PeerFolders::of_this_program();
    let mut installed = BTreeMap::new();
    let mut results = Vec::new();
    for peer in PEERS {
        let family = peer.program.family();
        let ready = installed.entry(family).or_insert_with(|| {
            progress(&format!("installing the peers in {family}"));
            install(family, &folders, &mut |line| progress(&format!("{family}: {line}")))
        });
        for setting in peer.settings {
            let outcome = match ready {
                Ok(ready) => run_one(ready, peer, setting, postgres_url, jobs, progress),
                Err(reason) => Err(format!("not installed: {reason}")),
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
    let run = format!("{} ({})", peer.name, setting.name);
    progress(&format!("{run}: {jobs} jobs"));
    let mut command = installed.command(peer.program);
    command.args([setting.name, &jobs.to_string(), &RUN_DEADLINE.as_secs().to_string()]);
    command.env("PEER_POSTGRES", postgres_url);
    // The extra time lets the program notice its own deadline and report it.
    let output = Child::run(command, RUN_DEADLINE + Duration::from_secs(20), &mut |line| {
        progress(&format!("{run}: {line}"));
    })?;
    PeerResult::parse(&output, peer, jobs)
}
