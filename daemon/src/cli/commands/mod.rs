//! The commands that call a daemon, one file each. A command makes its calls and prints the answer.

pub(super) mod apps;
pub(super) mod dead_letters;
pub(super) mod deliveries;
pub(super) mod deploy;
pub(super) mod emit;
pub(super) mod gate;
pub(super) mod invoke;
pub(super) mod kv;
pub(super) mod ledgers;
pub(super) mod letter_actions;
pub(super) mod prune;
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

#[derive(Debug)]
pub(super) struct Context {
    pub(super) target: Target,
    /// Print the JSON of the API unchanged.
    pub(super) json: bool,
    /// The time from which ages are counted.
    pub(super) now: Timestamp,
}

impl Context {
    /// Prints `body` unchanged with `--json`, else the text that `render` makes of it.
    fn show<T: DeserializeOwned>(&self, body: &str, render: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        if self.json {
            return output::print_json(body.trim_end()).map_err(CliError::failed);
        }
        let value: T = serde_json::from_str(body).map_err(|error| {
            CliError::failed(format!("this version cannot read the daemon's answer: {error}")).hint(
                "--json prints the answer unchanged; the daemon may have another version than this command, see `tidegate --version`",
            )
        })?;
        self.print(&render(&value))
    }

    fn print(&self, text: &str) -> Result<(), CliError> {
        output::print(text).map_err(CliError::failed)
    }

    /// Prints how to get the next page of a list, if there is one.
    fn note_next_page(&self, cursor: Option<&str>) {
        if let Some(cursor) = cursor {
            output::note(&format!("there are more rows: continue with --cursor {cursor}"));
        }
    }
}

/// Reads a JSON argument: JSON itself, `@FILE`, or `-` for standard input.
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
            .hint("a JSON string needs its own quotes: '\"text\"'; @FILE reads a file, - reads standard input")
    })
}
