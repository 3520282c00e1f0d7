//! Commands about triggers, deliveries and dead letters.

use super::PageArgs;
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum TriggersCommand {
    /// List all triggers (the default)
    List,
    /// Show every field of a trigger
    Show {
        /// Name of the trigger
        name: String,
    },
    /// Stop claiming the trigger's deliveries; they wait in the outbox
    Pause {
        /// Name of the trigger
        name: String,
    },
    /// Claim the trigger's deliveries again
    Resume {
        /// Name of the trigger
        name: String,
    },
    /// Delete a trigger; its waiting deliveries become dead letters
    Delete {
        /// Name of the trigger
        name: String,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeliveriesArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DeliveriesCommand>,
    #[command(flatten)]
    pub(crate) list: DeliveriesListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeliveriesCommand {
    /// List the deliveries that wait or run (the default)
    List(DeliveriesListArgs),
    /// Show a delivery with its event and its failed attempts
    Show {
        /// Id of the delivery
        id: i64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeliveriesListArgs {
    /// List only deliveries of this trigger
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// List only deliveries in this state: ready, scheduled or leased
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DeadLettersArgs {
    #[command(subcommand)]
    pub(crate) command: Option<DeadLettersCommand>,
    #[command(flatten)]
    pub(crate) list: DeadLettersListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLettersCommand {
    /// List dead letters, newest first, each with its event and its attempts (the default)
    List(DeadLettersListArgs),
    /// Show a dead letter
    Show {
        /// Id of the dead letter
        id: i64,
    },
    /// Put the deliveries of dead letters back in the outbox
    Redrive(LettersArgs),
    /// Mark dead letters as discarded; they stay in the list as resolved
    Discard(LettersArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct LettersArgs {
    /// Dead letters with these ids, open or resolved
    #[arg(value_name = "ID", conflicts_with_all = ["trigger", "fingerprint", "reason", "resolution", "from", "before", "all"])]
    pub(crate) ids: Vec<i64>,
    /// All open dead letters
    #[arg(long, conflicts_with_all = ["trigger", "fingerprint", "reason", "resolution", "from", "before"])]
    pub(crate) all: bool,
    /// Open dead letters of this trigger
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// Open dead letters with this fingerprint; the same failure has the same fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,
    /// Open dead letters with this reason: attempts_exhausted, lost, max_age, permanent,
    /// principal_denied, handler_missing
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Dead letters with this resolution instead of open ones: handled, handler_failed, discarded
    #[arg(long, value_name = "RESOLUTION")]
    pub(crate) resolution: Option<String>,
    /// Only dead letters that were created at or after this time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only dead letters that were created before this time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    /// Count the dead letters and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersListArgs {
    /// List only dead letters of this trigger
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// List only dead letters with this fingerprint; the same failure has the same fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,
    /// List only dead letters without a resolution
    #[arg(long)]
    pub(crate) open: bool,
    /// Print a table with one line for each dead letter
    #[arg(long)]
    pub(crate) brief: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}
