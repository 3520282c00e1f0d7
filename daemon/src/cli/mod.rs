//! The command line.
//!
//! The commands that call a daemon use blocking calls and no async runtime. `dev` and `serve` start
//! an async runtime.

mod args;
mod attempts;
mod client;
mod commands;
mod daemon;
mod dev;
mod doctor;
mod error;
mod instance;
mod migrate;
mod output;
mod places;
mod problem;
mod serve;
mod settings;
mod stores;
mod target;
mod text;

use crate::NativeHandlers;
use crate::config::Environment;
use crate::{terminal, wall_clock};
use args::{
    AppsCommand, Cli, Command, DeadLettersCommand, DeliveriesCommand, Global, RolesCommand, TokensCommand,
    TriggersCommand, UsersCommand,
};
use clap::Parser;
use commands::Context;
use error::CliError;
use std::borrow::Cow;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use target::Target;

/// Runs the command line `args`, which begins with the name of the program.
///
/// Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no daemon reached, 4 not found, 130
/// stopped by a second signal.
pub fn run(args: impl IntoIterator<Item = OsString>, native: NativeHandlers) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            print_usage(&error, &args);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let json = cli.global.json;
    match dispatch(cli, native) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&if json { error.to_json() } else { error.to_string() });
            ExitCode::from(error.exit_code())
        }
    }
}

/// Prints the help, the version or an error of clap. A closed output is ignored.
///
/// An error quotes the arguments. If they have unsafe characters, the text is escaped and has no
/// colours.
fn print_usage(error: &clap::Error, args: &[OsString]) {
    let is_safe = |arg: &OsString| matches!(terminal::line(&arg.to_string_lossy()), Cow::Borrowed(_));
    if args.iter().all(is_safe) {
        let _ = error.print();
    } else {
        output::note(error.render().to_string().trim_end());
    }
}

fn dispatch(cli: Cli, native: NativeHandlers) -> Result<(), CliError> {
    let environment = Environment::of_process();
    let global = &cli.global;
    let context = |here: Option<&Path>| find_context(global, &environment, here);
    match cli.command {
        Command::Dev(args) => dev::run(&args, global.json, &environment, native),
        Command::Serve(args) => serve::run(&args, global.json, &environment, native),
        Command::Migrate(args) => migrate::run(&args, global.json, &environment),
        Command::Doctor(args) => doctor::run(&args, global.json, &environment),
        Command::Deploy { directory, dead_letter_waiting } => {
            commands::deploy::run(&context(Some(&directory))?, &directory, global.app.clone(), dead_letter_waiting)
        }
        Command::Emit(args) => commands::emit::run(&context(None)?, args),
        Command::Invoke(args) => commands::invoke::run(&context(None)?, args),
        Command::Loops { limit } => commands::ledgers::loops(&context(None)?, limit),
        Command::Abandoned(page) => commands::ledgers::abandoned(&context(None)?, page),
        Command::Apps { command } => commands::apps::run(&context(None)?, command.unwrap_or(AppsCommand::List)),
        Command::Users { command } => commands::users::run(&context(None)?, command.unwrap_or(UsersCommand::List)),
        Command::Tokens { command } => commands::tokens::run(&context(None)?, command.unwrap_or(TokensCommand::List)),
        Command::Roles { command } => commands::roles::run(&context(None)?, command.unwrap_or(RolesCommand::List)),
        Command::Login { user } => commands::users::login(&context(None)?, &user),
        Command::Whoami => commands::users::whoami(&context(None)?),
        Command::Gate(args) => commands::gate::run(&context(None)?, &args),
        Command::Prune { dry_run } => commands::prune::run(&context(None)?, dry_run),
        Command::Kv(command) => commands::kv::run(&context(None)?, command),
        Command::Triggers { command } => {
            commands::triggers::run(&context(None)?, command.unwrap_or(TriggersCommand::List))
        }
        Command::Deliveries(args) => {
            let command = args.command.unwrap_or(DeliveriesCommand::List(args.list));
            commands::deliveries::run(&context(None)?, command)
        }
        Command::DeadLetters(args) => {
            let command = args.command.unwrap_or(DeadLettersCommand::List(args.list));
            commands::dead_letters::run(&context(None)?, command)
        }
    }
}

/// The context of a command that calls a daemon. The search for the daemon begins in `here`, or in
/// the current directory.
fn find_context(global: &Global, environment: &Environment, here: Option<&Path>) -> Result<Context, CliError> {
    let current = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let here = here.map_or_else(|| current.clone(), |here| current.join(here));
    let target = Target::find(global, environment, &here.canonicalize().unwrap_or(here))?;
    Ok(Context { target, json: global.json, now: wall_clock::now() })
}
