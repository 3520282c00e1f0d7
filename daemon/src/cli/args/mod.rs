//! The command line as clap reads it.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// A durable event-trigger engine.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 110, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Where a command finds its daemon: --url and --token; else TIDEGATE_URL and TIDEGATE_TOKEN; else a daemon of yours that
runs on this machine. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon reached, 4 not found.";

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Global {
    /// Where the daemon answers, such as http://127.0.0.1:8787 [env: TIDEGATE_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub(crate) url: Option<String>,
    /// The bearer token [env: TIDEGATE_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Global options")]
    pub(crate) token: Option<String>,
    /// Which app [env: TIDEGATE_APP] [default: the one of tidegate.toml here, or the only one]
    #[arg(long, global = true, value_name = "APP", help_heading = "Global options")]
    pub(crate) app: Option<String>,
    /// Print JSON instead of text for people
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an app directory on an embedded store, reload it when it changes, print what fires
    Dev(DevArgs),
    /// Run the daemon
    Serve(ServeArgs),
    /// Make an app's scripts and triggers exactly those of a directory
    Deploy {
        /// The directory with tidegate.toml and the scripts
        directory: PathBuf,
    },
    /// Emit an event of the app's own
    Emit(EmitArgs),
    /// Run a script and print what it returns
    Invoke(InvokeArgs),
    /// Read and write values
    #[command(subcommand)]
    Kv(KvCommand),
    /// Look at triggers; pause, resume and delete them
    Triggers {
        #[command(subcommand)]
        command: Option<TriggersCommand>,
    },
    /// Look at what waits or runs
    Deliveries(DeliveriesArgs),
    /// Look at what will not be tried again by itself
    #[command(visible_alias = "dlq")]
    DeadLetters(DeadLettersArgs),
    /// Look at chains of triggers that were cut because they were too deep
    Loops {
        /// At most so many
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// Look at sync executions whose reply reached nobody
    Abandoned(PageArgs),
    /// Look at users; make, disable, enable and delete them
    Users {
        #[command(subcommand)]
        command: Option<UsersCommand>,
    },
    /// Look at tokens; make and revoke them
    Tokens {
        #[command(subcommand)]
        command: Option<TokensCommand>,
    },
    /// Look at who may do what in an app; give and take roles
    Roles {
        #[command(subcommand)]
        command: Option<RolesCommand>,
    },
    /// Get a token for a user and a password
    Login {
        /// The user's name; the password is read from the terminal or from standard input
        user: String,
    },
    /// Tell who the token is
    Whoami,
    /// Look at how much runs at once, and change how much may
    Gate(GateArgs),
    /// Bring the store's schema up to date
    Migrate(StoreArgs),
    /// Find out why it does not run
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// The directory with tidegate.toml and the scripts
    pub(crate) directory: PathBuf,
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// sqlite:PATH or postgres://… [env: DATABASE_URL] [default: DIRECTORY/.tidegate/tidegate.db]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Set any setting, such as --set gate.permits=8
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// The file that holds the admin's token [default: `token` beside an SQLite file; made if there is none]
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,
    /// error, warn, info, debug, trace, or a filter such as info,tidegate=debug
    #[arg(long, value_name = "LEVEL")]
    pub(crate) log_level: Option<String>,
    /// human or json
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log_format: Option<String>,
}

/// What names a store.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct StoreArgs {
    /// A TOML file with settings [env: TIDEGATE_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// sqlite:PATH or postgres://… [env: DATABASE_URL] [default: .tidegate/tidegate.db]
    #[arg(long, value_name = "URL")]
    pub(crate) database_url: Option<String>,
    /// Set any setting, such as --set gate.permits=8
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// An app directory whose embedded store is to be looked at
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    /// The event's type, such as order.created
    #[arg(value_name = "TYPE")]
    pub(crate) event_type: String,
    /// What the event is about
    #[arg(long, default_value = "")]
    pub(crate) subject: String,
    /// The event's data: JSON, @FILE, or - for standard input
    #[arg(long, default_value = "null", value_name = "JSON|@FILE|-")]
    pub(crate) data: String,
    /// Makes a repeated call harmless for a day
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArgs {
    /// The script's name
    pub(crate) script: String,
    /// The data of the event that it gets: JSON, @FILE, or - for standard input
    #[arg(long, default_value = "null", value_name = "JSON|@FILE|-")]
    pub(crate) data: String,
    /// How long it may take, in milliseconds [default: 30000]
    #[arg(long, value_name = "MS")]
    pub(crate) timeout_ms: Option<u64>,
    /// Makes a repeated call harmless for a day
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// Let so many executions run at once, until the daemon ends
    #[arg(long, value_name = "COUNT")]
    pub(crate) permits: Option<u32>,
    /// Of these, keep so many for sync callers
    #[arg(long, value_name = "COUNT")]
    pub(crate) sync_reserve: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print a value
    Get {
        /// Such as orders/1
        #[arg(value_name = "COLLECTION/KEY")]
        path: String,
    },
    /// Set a value
    Put {
        /// Such as orders/1
        #[arg(value_name = "COLLECTION/KEY")]
        path: String,
        /// JSON, @FILE, or - for standard input
        #[arg(default_value = "-", value_name = "JSON|@FILE|-")]
        value: String,
        /// Only if the value has this version; 0 for only if there is none
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// Delete a value
    Delete {
        /// Such as orders/1
        #[arg(value_name = "COLLECTION/KEY")]
        path: String,
        /// Only if the value has this version
        #[arg(long, value_name = "VERSION")]
        if_version: Option<i64>,
    },
    /// List a collection
    List {
        /// The collection, or COLLECTION/PREFIX for keys that begin with PREFIX
        #[arg(value_name = "COLLECTION")]
        path: String,
        #[command(flatten)]
        page: PageArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TriggersCommand {
    /// All of them (the default)
    List,
    /// One of them, whole
    Show { name: String },
    /// Let its deliveries wait
    Pause { name: String },
    /// Let its deliveries go on
    Resume { name: String },
    /// Delete it; its waiting deliveries become dead letters
    Delete { name: String },
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
    /// What waits or runs (the default)
    List(DeliveriesListArgs),
    /// One delivery, whole
    Show { id: i64 },
}

#[derive(Debug, Args)]
pub(crate) struct DeliveriesListArgs {
    /// Only of this trigger
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// Only ready, scheduled or leased ones
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
    /// Newest first, each with its attempts and its event (the default)
    List(DeadLettersListArgs),
    /// One dead letter
    Show { id: i64 },
    /// Put letters' deliveries back in the outbox
    Redrive(LettersArgs),
    /// Lay letters aside: nothing more is to be done about them
    Discard(LettersArgs),
}

/// Which dead letters to do something about.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct LettersArgs {
    /// These, resolved or not
    #[arg(value_name = "ID", conflicts_with_all = ["trigger", "fingerprint", "reason", "resolution", "from", "before", "all"])]
    pub(crate) ids: Vec<i64>,
    /// All that are open
    #[arg(long, conflicts_with_all = ["trigger", "fingerprint", "reason", "resolution", "from", "before"])]
    pub(crate) all: bool,
    /// Open ones of this trigger
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// Open ones with this fingerprint: the same failure
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,
    /// Open ones for this reason: attempts_exhausted, max_age, permanent, principal_denied, handler_missing
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Instead of open ones: handled, handler_failed, discarded
    #[arg(long, value_name = "RESOLUTION")]
    pub(crate) resolution: Option<String>,
    /// Only those that died at or after this time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Only those that died before this time, in RFC 3339
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<String>,
    /// Only count them
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeadLettersListArgs {
    /// Only of this trigger
    #[arg(long, value_name = "NAME")]
    pub(crate) trigger: Option<String>,
    /// Only with this fingerprint: the same failure
    #[arg(long, value_name = "FINGERPRINT")]
    pub(crate) fingerprint: Option<String>,
    /// Only those that nobody has resolved
    #[arg(long)]
    pub(crate) open: bool,
    /// A table, one line for each letter
    #[arg(long)]
    pub(crate) brief: bool,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// All users (the default)
    List,
    /// Make a user; the password is read from the terminal or from standard input
    Create {
        name: String,
        /// May do everything
        #[arg(long)]
        admin: bool,
        /// Without a password: only tokens that an admin makes act for this user
        #[arg(long)]
        no_password: bool,
    },
    /// Set a user's password, read from the terminal or from standard input
    Password { name: String },
    /// Let a user do nothing for now: their tokens are refused, their triggers run nothing
    Disable { name: String },
    /// Let a disabled user go on
    Enable { name: String },
    /// Delete a user with their tokens and roles
    Delete { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// All tokens (the default)
    List,
    /// Make a token and print it, once
    Create {
        name: String,
        /// Acts for this user; without one the token acts for itself, as token:NAME
        #[arg(long, value_name = "NAME", conflicts_with = "admin")]
        user: Option<String>,
        /// May do everything
        #[arg(long)]
        admin: bool,
        /// Is valid for so many days; without it until it is revoked
        #[arg(long, value_name = "DAYS")]
        days: Option<u64>,
    },
    /// Revoke a token at once
    Revoke { name: String },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolesCommand {
    /// Who may do what in the app (the default)
    List,
    /// Give a role instead of the one that they had
    Grant {
        /// user:NAME or token:NAME
        principal: String,
        /// viewer, editor or owner
        role: String,
    },
    /// Take their role away
    Revoke {
        /// user:NAME or token:NAME
        principal: String,
    },
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// At most so many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Go on where the last list ended
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_anywhere() {
        for line in [
            "tidegate --json --app a dead-letters",
            "tidegate dead-letters --json --app a",
            "tidegate dlq list --app a --json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            assert!(cli.global.json && cli.global.app.as_deref() == Some("a"), "{line}");
        }
    }
}
