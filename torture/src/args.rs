//! The arguments of the command.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Kills daemons and database servers under load. Each acknowledged order is written to a ledger
/// outside of the product. Afterwards each order must have exactly one receipt, and the count of
/// each customer must be the number of that customer's orders.
///
/// The last line is `K kills, A acknowledged, L lost, D doubled`. The command fails unless nothing
/// was lost or doubled. A delivery that was running at several kills becomes a dead letter with the
/// reason `lost`: these are redriven at the end of a round. Any other dead letter is a failure.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask torture", version)]
pub(crate) struct Args {
    /// The duration of the load. The checks at the end of each round come on top.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    pub(crate) minutes: u64,
    /// The store to run on. With `both`, rounds alternate.
    #[arg(long, value_enum, default_value_t = Stores::Both)]
    pub(crate) store: Stores,
    /// The orders per second of all clients together.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) rate: u64,
    /// Chooses the faults and their times. The threads of the machine are still free, so a seed
    /// does not repeat a run exactly.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// The program of the daemon. `cargo xtask torture` builds it [default: `tidegate` in the
    /// folder of this program].
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) daemon: Option<PathBuf>,
    /// The app directory `examples/orders`.
    #[arg(long, value_name = "FOLDER", default_value = "examples/orders")]
    pub(crate) app: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stores {
    Sqlite,
    Postgres,
    Both,
}
