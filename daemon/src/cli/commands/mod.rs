//! One file per command that asks a daemon. Each reads its arguments, makes its calls and prints the answer.

pub(super) mod dead_letters;
pub(super) mod deliveries;
pub(super) mod deploy;
pub(super) mod emit;
pub(super) mod gate;
pub(super) mod invoke;
pub(super) mod kv;
pub(super) mod ledgers;
pub(super) mod letter_actions;
pub(super) mod roles;
pub(super) mod tokens;
pub(super) mod triggers;
pub(super) mod users;

use super::error::CliError;
use super::output;
use super::target::Target;
use serde::de::DeserializeOwned;
use std::io::Read;
use tidegate_core::{Json, Timestamp};

/// Where a command's answer goes and what it is about.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) target: Target,
    /// Print the API's JSON as it is.
    pub(super) json: bool,
    /// For ages.
    pub(super) now: Timestamp,
}

impl Context {
    /// Prints `body` as it is, or what `render` makes of it for people.
    fn show<T: DeserializeOwned>(&self, body: &str, render: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        if self.json {
            return output::print_line(body.trim_end()).map_err(CliError::failed);
        }
        let value: T = serde_json::from_str(body).map_err(|error| {
            CliError::failed(format!("the daemon's answer is not understood: {error}")).hint(
                "--json shows it as it is; is the daemon of another version? `tidegate --version` tells this one's",
            )
        })?;
        self.say(&render(&value))
    }

    /// Prints text for people.
    fn say(&self, text: &str) -> Result<(), CliError> {
        output::print(text).map_err(CliError::failed)
    }

    /// Tells how to go on with a list that is longer than this page.
    fn more(&self, cursor: Option<&str>) {
        if let Some(cursor) = cursor {
            output::note(&format!("there are more: go on with --cursor {cursor}"));
        }
    }
}

/// Reads JSON that an argument gives: itself, `@FILE`, or `-` for standard input.
fn json_argument(argument: &str) -> Result<Json, CliError> {
    let text = match (argument, argument.strip_prefix('@')) {
        ("-", _) => {
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).map(|_| text).map_err(CliError::failed)?
        }
        (_, Some(path)) => {
            std::fs::read_to_string(path).map_err(|error| CliError::failed(format!("cannot read {path}: {error}")))?
        }
        (json, None) => json.to_owned(),
    };
    Json::parse(&text).map_err(|error| {
        CliError::usage(error)
            .hint("JSON strings have quotes of their own: '\"text\"'; @FILE reads a file, - standard input")
    })
}
