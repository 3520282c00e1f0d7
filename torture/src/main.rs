//! Kills daemons and servers under load, and compares the store with a ledger of its own.

mod args;
mod client;
mod cluster;
mod faults;
mod ledger;
mod load;
mod round;
mod verdict;

use anyhow::Context as _;
use args::{Args, Stores};
use clap::Parser as _;
use cluster::StoreKind;
use faults::Counts;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;
use round::Round;
use std::process::ExitCode;
use std::time::Duration;
use verdict::Verdict;

/// The longest round. Each round has a new store.
const ROUND_MAX: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was lost, doubled or dead.
fn run(args: &Args) -> anyhow::Result<bool> {
    let program = match &args.daemon {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("tidegate"),
    };
    let kinds: &[StoreKind] = match args.store {
        Stores::Sqlite => &[StoreKind::Sqlite],
        Stores::Postgres => &[StoreKind::Postgres],
        Stores::Both => &[StoreKind::Sqlite, StoreKind::Postgres],
    };
    let total = Duration::from_secs(args.minutes * 60);
    let rounds = total.div_duration_f64(ROUND_MAX).ceil().max(kinds.len() as f64) as u32;
    let length = total / rounds;
    let (mut counts, mut verdict) = (Counts::default(), Verdict::default());
    for (nth, kind) in (1..=rounds).zip(kinds.iter().cycle()) {
        let name = kind.name();
        eprintln!("round {nth} of {rounds} on {name}, {} s, seed {}", length.as_secs(), args.seed);
        let round = Round { kind: *kind, program: &program, app: &args.app, length, per_second: args.rate };
        let mut random = ChaCha8Rng::seed_from_u64(args.seed);
        random.set_stream(nth.into());
        let (faults, found) = round.run(random).with_context(|| format!("round {nth} on {name} failed"))?;
        println!(
            "round {nth} on {name}: {faults}; {found}, {} letters redriven, {} others",
            found.redriven, found.dead_letters
        );
        counts.add(faults);
        verdict.add(found);
        if !found.is_good() {
            break;
        }
    }
    println!("{counts}; {} letters redriven, {} others", verdict.redriven, verdict.dead_letters);
    println!("{} kills, {verdict}", counts.kills);
    Ok(verdict.is_good())
}
