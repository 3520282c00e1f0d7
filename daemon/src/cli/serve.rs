//! `tidegate serve`: the daemon in production.

use super::args::ServeArgs;
use super::daemon::{Daemon, open_token};
use super::error::CliError;
use super::instance::Instance;
use super::places::{store_url, token_path, url_of};
use super::settings::settings;
use crate::NativeHandlers;
use crate::config::{Environment, Layers, LogFormat, Settings};
use crate::server::{LogStyle, StoreUrl};
use crate::token;
use std::path::{Path, PathBuf};

pub(super) fn run(
    args: &ServeArgs,
    json: bool,
    environment: &Environment,
    native: NativeHandlers,
) -> Result<(), CliError> {
    let flags = |layers: Layers| {
        layers
            .flag("--listen", "http.listen", args.listen.as_deref())
            .flag("--log-level", "log.level", args.log_level.as_deref())
            .flag("--log-format", "log.format", args.log_format.as_deref().or(json.then_some("json")))
            .flag("--admin-token-file", "auth.admin_token_file", args.admin_token_file.as_ref().map(|p| p.display()))
    };
    let settings = settings(&args.store, environment, flags)?;
    let store = store_url(&settings)?;
    let (token, token_file) = admin_token(args.admin_token_file.as_deref(), &settings, environment, &store)?;
    let log = match settings.log.format {
        LogFormat::Human => LogStyle::Text,
        LogFormat::Json => LogStyle::Json,
    };
    let mut registration = None;
    Daemon { settings, store, migrates: !args.no_migrate, token, log, native }.run(|address| {
        // Other commands find a daemon in order to read its token. Without a token file there is
        // nothing to find.
        let Some(token_file) = token_file else { return };
        let instance = Instance::of_this_process(url_of(address), None, Some(token_file));
        registration = instance.register(environment, address).ok();
    })
}

/// The admin token and its file. The sources in falling order: the flag's file,
/// `TIDEGATE_ADMIN_TOKEN`, the settings' file, the file beside an SQLite store.
fn admin_token(
    flag: Option<&Path>,
    settings: &Settings,
    environment: &Environment,
    store: &StoreUrl,
) -> Result<(String, Option<PathBuf>), CliError> {
    if flag.is_none()
        && let Some(token) = environment.get("TIDEGATE_ADMIN_TOKEN")
    {
        let token = token::validate(token).map_err(|rule| CliError::usage(format!("TIDEGATE_ADMIN_TOKEN {rule}")))?;
        return Ok((token, None));
    }
    let path = token_path(settings, store).ok_or_else(|| {
        CliError::usage("a daemon on Postgres needs an admin token that all its daemons share")
            .hint("name a file with --admin-token-file, which is created if missing, or set TIDEGATE_ADMIN_TOKEN")
    })?;
    let path = std::path::absolute(&path).unwrap_or(path);
    open_token(&path).map(|token| (token, Some(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_admin_token_comes_from_the_first_source_that_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let from_environment = "tg_from_the_environment_0";
        let variables = environment(&[("TIDEGATE_ADMIN_TOKEN", from_environment)]);
        let none = environment(&[]);
        let sqlite = StoreUrl::Sqlite(at("t.db"));
        let postgres = StoreUrl::Postgres("postgres://h/d".to_owned());
        let mut settings = Settings::default();

        let (beside, path) = admin_token(None, &settings, &none, &sqlite).unwrap();
        assert_eq!(path, Some(at("token")));
        assert_eq!(
            admin_token(None, &settings, &none, &sqlite).unwrap().0,
            beside,
            "the second start reads the same token"
        );
        assert_eq!(admin_token(None, &settings, &variables, &sqlite), Ok((from_environment.to_owned(), None)));

        let error = admin_token(None, &settings, &none, &postgres).unwrap_err();
        assert!(error.exit_code() == 2 && error.to_string().contains("--admin-token-file"), "{error}");
        let short = admin_token(None, &settings, &environment(&[("TIDEGATE_ADMIN_TOKEN", "x")]), &sqlite).unwrap_err();
        assert!(short.to_string().starts_with("error: TIDEGATE_ADMIN_TOKEN holds no token"), "{short}");

        settings.auth.admin_token_file = Some(at("named"));
        let (named, _) = admin_token(None, &settings, &none, &postgres).unwrap();
        let by_flag = admin_token(Some(&at("named")), &settings, &variables, &postgres).unwrap();
        assert_eq!(by_flag, (named, Some(at("named"))));
    }
}
