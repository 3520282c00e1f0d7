//! Commands about apps, users, tokens and roles.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum AppsCommand {
    /// List all apps with the number of their triggers (the default)
    List,
    /// Pause all triggers of an app; their deliveries wait
    Disable {
        /// Name of the app
        name: String,
    },
    /// Resume all triggers of an app
    Enable {
        /// Name of the app
        name: String,
    },
    /// Delete the scripts and triggers of an app; its values and dead letters stay
    Delete {
        /// Name of the app
        name: String,
        /// Confirm: the deliveries that wait become dead letters
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// List all users (the default)
    List,
    /// Create a user; the password is read from the terminal or from standard input
    Create {
        /// Name of the user
        name: String,
        /// Give the user all rights
        #[arg(long)]
        admin: bool,
        /// Create the user without a password; only tokens that an admin creates act for the user
        #[arg(long)]
        no_password: bool,
    },
    /// Set a user's password, read from the terminal or from standard input
    Password {
        /// Name of the user
        name: String,
    },
    /// Disable a user: the user's tokens are refused and the user's triggers run nothing
    Disable {
        /// Name of the user
        name: String,
    },
    /// Enable a disabled user
    Enable {
        /// Name of the user
        name: String,
    },
    /// Delete a user with the user's tokens and roles
    Delete {
        /// Name of the user
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// List all tokens (the default)
    List,
    /// Create a token and print it; it cannot be shown again
    Create {
        /// Name of the token
        name: String,
        /// User that the token acts for [default: the token acts for itself, as token:NAME]
        #[arg(long, value_name = "NAME", conflicts_with_all = ["admin", "monitor"])]
        user: Option<String>,
        /// Give the token all rights
        #[arg(long)]
        admin: bool,
        /// Let the token read /metrics, for Prometheus
        #[arg(long, conflicts_with = "admin")]
        monitor: bool,
        /// Days until the token expires [default: it does not expire]
        #[arg(long, value_name = "DAYS")]
        days: Option<u64>,
    },
    /// Revoke a token at once
    Revoke {
        /// Name of the token
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RolesCommand {
    /// List the principals with a role in the app (the default)
    List,
    /// Give a principal a role, in place of the role that it has
    Grant {
        /// user:NAME or token:NAME
        principal: String,
        /// viewer, editor or owner
        role: String,
    },
    /// Take a principal's role away
    Revoke {
        /// user:NAME or token:NAME
        principal: String,
    },
}
