//! `tidegate dev DIRECTORY`: a daemon on an embedded store, and a thread that deploys the
//! directory.
//!
//! The daemon is the same as in `serve`. The thread deploys the directory through the HTTP API, at
//! the start and after each change. So a directory that works here also works with `tidegate
//! deploy`.

mod banner;
mod reload;
mod watch;

use super::args::DevArgs;
use super::daemon::{Daemon, open_token};
use super::error::CliError;
use super::instance::Instance;
use super::output::note;
use super::places::{dev_folder, dev_store_path, dev_token_path, named_store_url, url_of};
use crate::NativeHandlers;
use crate::config::{Environment, Layers, LogFormat, Settings};
use crate::manifest;
use crate::server::{LogStyle, StoreUrl};
use reload::Reload;
use std::io::{self, IsTerminal};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

pub(super) fn run(
    args: &DevArgs,
    json: bool,
    environment: &Environment,
    native: NativeHandlers,
) -> Result<(), CliError> {
    let settings = settings(args, json, environment)?;
    let named_store = named_store_url(&settings).transpose()?;
    // Load before anything is created, so that a mistyped directory gets no store.
    let app = manifest::load(&args.directory).map_err(CliError::failed)?;
    let directory = args.directory.canonicalize().map_err(CliError::failed)?;
    let token_file = dev_token_path(&directory);
    let folder = dev_folder(&directory);
    make_state_folder(&folder)
        .map_err(|error| CliError::failed(format!("cannot use {}: {error}", folder.display())))?;
    let token = open_token(&token_file)?;
    let store = named_store.unwrap_or_else(|| StoreUrl::Sqlite(dev_store_path(&directory)));
    let log = match settings.log.format {
        LogFormat::Human => LogStyle::Dev { colour: !environment.no_colour() && io::stdout().is_terminal() },
        LogFormat::Json => LogStyle::Json,
    };

    let shown_store = store.without_password();
    let mut registration = None;
    let daemon = Daemon { settings, store, migrates: true, token: token.clone(), log, native };
    daemon.run(|address| {
        let url = url_of(address);
        let instance = Instance::of_this_process(url.clone(), Some(app.name.to_string()), Some(token_file.clone()));
        match instance.register(environment, address) {
            Ok(registered) => registration = Some(registered),
            Err(error) => note(&format!("commands in other shells will need --url {url}: {error}")),
        }
        // The thread holds no state that must be saved, so it ends with the process.
        std::thread::spawn(move || Reload { directory, token_file, url, token, store: shown_store, app }.run());
    })
}

/// The settings of `dev`. By default the log has the lines that scripts print, and warnings.
fn settings(args: &DevArgs, json: bool, environment: &Environment) -> Result<Settings, CliError> {
    Layers::default()
        .flag("dev", "log.level", Some("warn,tidegate::script=info"))
        .environment(environment)
        .flag("--database-url", "store.url", args.database_url.as_deref())
        .assignments(&args.set)
        .flag("--listen", "http.listen", args.listen.as_deref())
        .flag("--json", "log.format", json.then_some("json"))
        .finish()
        .map_err(CliError::usage)
}

/// Creates the folder for the store and the token. Only this user can enter it, and git ignores it.
fn make_state_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    let ignore = folder.join(".gitignore");
    if ignore.exists() { Ok(()) } else { std::fs::write(ignore, "*\n") }
}
