//! What `dev` and `serve` have in common: from settings to a daemon that runs until it is told to stop.

use super::args::{ServeArgs, StoreArgs};
use super::error::CliError;
use super::output::note;
use crate::NativeHandlers;
use crate::config::{Environment, Layers, LogFormat, Settings};
use crate::dev::{Instance, TokenFile, token_file};
use crate::server::{self, AdminToken, HttpLimits, LogStyle, ServerConfig, StoreUrl};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tidegate_core::Config;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where `serve` keeps its data unless it is told otherwise.
const DEFAULT_STORE: &str = "sqlite:.tidegate/tidegate.db";

/// A daemon that is about to run.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) settings: Settings,
    pub(crate) store: StoreUrl,
    pub(crate) token: String,
    pub(crate) log: LogStyle,
    pub(crate) native: NativeHandlers,
}

/// `tidegate serve`
pub(super) fn serve(
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
    Daemon { settings, store, token, log, native }.run(|address| {
        // A daemon whose token is in no file is for those who were told its address as well.
        let Some(token_file) = token_file else { return };
        let instance = Instance::here(url_of(address), None, Some(token_file));
        registration = instance.register(environment, address).ok();
    })
}

impl Daemon {
    /// Runs until the first SIGINT or SIGTERM and then until what runs has ended, or until the second one.
    /// `on_listening` is told the bound address; the store may not be open yet.
    pub(crate) fn run(self, on_listening: impl FnOnce(SocketAddr) + Send) -> Result<(), CliError> {
        server::init_logs(self.log, &self.settings.log.level).map_err(CliError::usage)?;
        let http = HttpLimits {
            body_bytes_max: self.settings.http.body_bytes_max,
            data_bytes_max: self.settings.scripts.data_bytes_max,
        };
        let config = ServerConfig {
            listen: self.settings.http.listen,
            store: self.store,
            admin_token: AdminToken::new(&self.token),
            dispatcher: Config::try_from(self.settings.engine).map_err(CliError::usage)?,
            scripts: self.settings.scripts,
            http,
            native: self.native,
            log: self.log,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::failed)?;
        let result = runtime.block_on(async {
            let (mut first, mut second) = (Stop::new()?, Stop::new()?);
            tokio::select! {
                biased;
                () = async { second.asked().await; second.asked().await } => {
                    Err(CliError::Interrupted)
                }
                result = server::serve(config, on_listening, first.asked()) => result.map_err(CliError::failed),
            }
        });
        runtime.shutdown_background();
        result
    }
}

/// The signals that ask a daemon to stop.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, CliError> {
        let of = |kind| signal(kind).map_err(CliError::failed);
        Ok(Self { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The settings of a command that names a store: defaults, file, environment, flags. `flags` lays the command's own.
pub(super) fn settings(
    args: &StoreArgs,
    environment: &Environment,
    flags: impl FnOnce(Layers) -> Layers,
) -> Result<Settings, CliError> {
    let mut layers = Layers::default();
    let file = args.config.clone().or_else(|| environment.get("TIDEGATE_CONFIG").map(PathBuf::from));
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path)
            .map_err(|error| CliError::usage(format!("cannot read the configuration {}: {error}", path.display())))?;
        layers = layers.file(&path, &text);
    }
    let layers = layers.environment(environment).flag("--database-url", "store.url", args.database_url.as_deref());
    flags(layers.assignments(&args.set)).finish().map_err(CliError::usage)
}

/// The store of a daemon that is not in development.
pub(super) fn store_url(settings: &Settings) -> Result<StoreUrl, CliError> {
    settings.store.url.as_deref().unwrap_or(DEFAULT_STORE).parse().map_err(CliError::usage)
}

/// The store as people are told of it: without a password.
pub(crate) fn describe(store: &StoreUrl) -> String {
    match store {
        StoreUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
        StoreUrl::Postgres(url) => match (url.split_once("://"), url.rsplit_once('@')) {
            (Some((scheme, rest)), Some((_, place))) if rest.contains('@') => format!("{scheme}://…@{place}"),
            _ => url.clone(),
        },
    }
}

/// Where a daemon on `store` keeps its admin token, if a file is named or there is a natural place.
pub(super) fn token_path(settings: &Settings, store: &StoreUrl) -> Option<PathBuf> {
    settings.auth.admin_token_file.clone().or_else(|| match store {
        StoreUrl::Sqlite(path) => Some(path.with_file_name("token")),
        StoreUrl::Postgres(_) => None,
    })
}

/// The admin's token and the file that it is in: from the flag's file, the environment, the settings' file, or the
/// file beside an SQLite store.
fn admin_token(
    flag: Option<&Path>,
    settings: &Settings,
    environment: &Environment,
    store: &StoreUrl,
) -> Result<(String, Option<PathBuf>), CliError> {
    if flag.is_none()
        && let Some(token) = environment.get("TIDEGATE_ADMIN_TOKEN")
    {
        let token =
            token_file::checked(token).map_err(|rule| CliError::usage(format!("TIDEGATE_ADMIN_TOKEN {rule}")))?;
        return Ok((token, None));
    }
    let path = token_path(settings, store).ok_or_else(|| {
        CliError::usage("a daemon on Postgres needs an admin token that all its daemons share")
            .hint("name a file with --admin-token-file, which is made if there is none, or set TIDEGATE_ADMIN_TOKEN")
    })?;
    let path = std::path::absolute(&path).unwrap_or(path);
    open_token(&path).map(|token| (token, Some(path)))
}

/// The token in the file at `path`, which is made if there is none. What was done to the file is said.
pub(crate) fn open_token(path: &Path) -> Result<String, CliError> {
    let (token, done) = token_file::token_at(path)
        .map_err(|error| CliError::failed(format!("cannot use the token file {}: {error}", path.display())))?;
    match done {
        TokenFile::Kept => {}
        TokenFile::Made => note(&format!("made an admin token in {}", path.display())),
        TokenFile::Closed => {
            note(&format!(
                "others could read {}; now only you can. Was it seen? Delete it to get a new one",
                path.display()
            ));
        }
    }
    Ok(token)
}

/// How a program on this machine reaches a daemon that listens on `address`.
pub(crate) fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_daemon_is_reached_on_this_machine() {
        for (address, url) in [
            ("127.0.0.1:1", "http://127.0.0.1:1"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("10.0.0.1:1", "http://10.0.0.1:1"),
        ] {
            assert_eq!(url_of(address.parse().unwrap()), url);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("sqlite:a.db", "sqlite:a.db"),
            ("postgres://u:p@ss@h/d", "postgres://…@h/d"),
            ("postgres://h/d", "postgres://h/d"),
        ] {
            assert_eq!(describe(&url.parse().unwrap()), shown);
        }
    }

    #[test]
    fn the_admin_token_comes_from_the_first_that_names_it() {
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
        assert_eq!(admin_token(None, &settings, &none, &sqlite).unwrap().0, beside, "it is kept");
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
