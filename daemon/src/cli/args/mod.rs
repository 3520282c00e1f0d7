//! The command line as clap parses it. Each `///` line of this module is a line of `--help`.

mod access;
mod daemon;
mod data;
mod outbox;

pub(super) use access::{AppsCommand, RolesCommand, TokensCommand, UsersCommand};
pub(super) use daemon::{DevArgs, DoctorArgs, MigrateArgs, ServeArgs, StoreArgs};
pub(super) use data::{EmitArgs, GateArgs, InvokeArgs, KvCommand};
pub(super) use outbox::{
    DeadLettersArgs, DeadLettersCommand, DeadLettersListArgs, DeliveriesArgs, DeliveriesCommand, DeliveriesListArgs,
    LettersArgs, TriggersCommand,
};

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
A command finds its daemon by --url and --token, else by TIDEGATE_URL and TIDEGATE_TOKEN, else it looks for a daemon
that you run on this machine. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon reached, 4 not found.";

// No doc comment here: clap would show it as the text of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Global {
    /// URL of the daemon, such as http://127.0.0.1:8787 [env: TIDEGATE_URL]
    #[arg(long, global = true, value_name = "URL", help_heading = "Global options")]
    pub(crate) url: Option<String>,
    /// Bearer token for the daemon [env: TIDEGATE_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", help_heading = "Global options")]
    pub(crate) token: Option<String>,
    /// Name of the app [env: TIDEGATE_APP] [default: the app of ./tidegate.toml, or the daemon's
    /// only app]
    #[arg(long, global = true, value_name = "APP", help_heading = "Global options")]
    pub(crate) app: Option<String>,
    /// Print JSON instead of text
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an app directory on an embedded store, deploy it again after each change, print each
    /// delivery
    Dev(DevArgs),
    /// Run a daemon in production
    Serve(ServeArgs),
    /// Replace an app's scripts and triggers by those of a directory
    Deploy {
        /// The directory with tidegate.toml and the scripts
        directory: PathBuf,
        /// Make dead letters of the deliveries that wait for triggers which are deleted
        #[arg(long)]
        dead_letter_waiting: bool,
    },
    /// Emit an event of the app
    Emit(EmitArgs),
    /// Run a script and print the value that it returns
    Invoke(InvokeArgs),
    /// Read and write values
    #[command(subcommand)]
    Kv(KvCommand),
    /// List, show, pause, resume and delete triggers
    Triggers {
        #[command(subcommand)]
        command: Option<TriggersCommand>,
    },
    /// List and show the deliveries that wait or run
    Deliveries(DeliveriesArgs),
    /// List, show, redrive and discard the deliveries that are not tried again on their own
    #[command(visible_alias = "dlq")]
    DeadLetters(DeadLettersArgs),
    /// List chains of triggers that were cut because they were too deep
    Loops {
        /// List at most N chains
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
    },
    /// List sync executions whose caller was gone when the reply was ready
    Abandoned(PageArgs),
    /// List, disable, enable and delete apps
    Apps {
        #[command(subcommand)]
        command: Option<AppsCommand>,
    },
    /// List, create, disable, enable and delete users
    Users {
        #[command(subcommand)]
        command: Option<UsersCommand>,
    },
    /// List, create and revoke tokens
    Tokens {
        #[command(subcommand)]
        command: Option<TokensCommand>,
    },
    /// List, grant and revoke roles in an app
    Roles {
        #[command(subcommand)]
        command: Option<RolesCommand>,
    },
    /// Log in with a password and print a token
    Login {
        /// Name of the user; the password is read from the terminal or from standard input
        user: String,
    },
    /// Show the principal of the token and its rights
    Whoami,
    /// Show how many executions run and may run at once, or change the limits
    Gate(GateArgs),
    /// Remove the records that are older than their retention (settings retention.*)
    Prune {
        /// Count the records and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring the store's schema up to date
    Migrate(MigrateArgs),
    /// Check everything that can keep a daemon from running
    Doctor(DoctorArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// List at most N rows
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
    /// Continue a list at the cursor that its last page printed
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
