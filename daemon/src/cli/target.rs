use super::args::Global;
use super::client::{Call, Client, is_loopback, segment};
use super::error::CliError;
use super::instance::Instance;
use crate::config::Environment;
use crate::manifest;
use crate::token;
use std::path::{Path, PathBuf};
use ureq::http::Uri;

/// The daemon that a command calls, and the app that the command is about.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) client: Client,
    app: Option<String>,
}

/// The result of the search for a daemon, before any call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Endpoint {
    url: String,
    token: Option<String>,
    app: Option<String>,
}

/// The URL of a daemon with default settings.
const DEFAULT_URL: &str = "http://127.0.0.1:8787";

impl Target {
    /// Finds the daemon and the app by the flags, the environment, the directory `here` and the
    /// daemons that run on this machine.
    pub(crate) fn find(global: &Global, environment: &Environment, here: &Path) -> Result<Self, CliError> {
        let endpoint = find_endpoint(global, environment, here, || Instance::running(environment))?;
        Ok(Self { client: Client::new(&endpoint.url, endpoint.token)?, app: endpoint.app })
    }

    /// The app that was found, or the only app of the daemon.
    pub(crate) fn app(&self) -> Result<String, CliError> {
        if let Some(app) = &self.app {
            return Ok(app.clone());
        }
        let body = self.client.call(Call::get("/v1/apps"))?.body;
        let list: AppList = serde_json::from_str(&body).map_err(CliError::failed)?;
        let names = list.names();
        match names.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(CliError::failed("the daemon has no app yet").hint("`tidegate deploy DIRECTORY` creates one")),
            several => Err(CliError::usage(format!(
                "the command needs an app, and the daemon has several: {}",
                several.join(", ")
            ))
            .hint("name one with --app or TIDEGATE_APP")),
        }
    }

    /// The path of the app in the API, followed by `rest`.
    pub(crate) fn path(&self, rest: &str) -> Result<String, CliError> {
        Ok(format!("/v1/apps/{}{rest}", segment(&self.app()?)))
    }
}

/// The answer of `/v1/apps`.
#[derive(serde::Deserialize)]
pub(crate) struct AppList {
    apps: Vec<AppEntry>,
}

impl AppList {
    pub(crate) fn names(self) -> Vec<String> {
        self.apps.into_iter().map(|app| app.name).collect()
    }
}

#[derive(serde::Deserialize)]
struct AppEntry {
    name: String,
}

/// URL, token and app each come from the first source that has a value: the flag, the environment,
/// a running daemon. Of several running daemons, the search takes the daemon whose token file is in
/// `here` or above.
fn find_endpoint(
    global: &Global,
    environment: &Environment,
    here: &Path,
    running: impl FnOnce() -> Vec<Instance>,
) -> Result<Endpoint, CliError> {
    let given = |flag: &Option<String>, variable| flag.clone().or_else(|| environment.get(variable).map(str::to_owned));
    let url = given(&global.url, "TIDEGATE_URL");
    let token = given(&global.token, "TIDEGATE_TOKEN");
    let app = given(&global.app, "TIDEGATE_APP").or_else(|| manifest::app_name(here).map(|name| name.to_string()));

    let local = local_token_file(here);
    let instance = match (&url, &token) {
        (Some(_), Some(_)) => None,
        _ => choose(running(), url.as_deref(), local.as_deref())?,
    };
    let token_file = instance.as_ref().and_then(|instance| instance.token_file.clone()).or(local);
    let token = match token {
        Some(token) => Some(token),
        None => token_file
            .filter(|_| may_send_token(url.as_deref(), instance.as_ref()))
            .map(|path| read_token(&path))
            .transpose()?,
    };
    let app = app.or_else(|| instance.as_ref().and_then(|instance| instance.app.clone()));
    let url = url.or_else(|| instance.map(|instance| instance.url)).unwrap_or_else(|| DEFAULT_URL.to_owned());
    Ok(Endpoint { url, token, app })
}

/// Whether a token from a file may be sent. A token file belongs to a daemon of this machine, so
/// its token is never sent to another machine that only `--url` names.
fn may_send_token(url: Option<&str>, instance: Option<&Instance>) -> bool {
    let host = url.and_then(|url| Uri::try_from(url).ok()).map(|uri| is_loopback(uri.host()));
    instance.is_some() || host.unwrap_or(url.is_none())
}

/// Chooses a running daemon: the daemon at `url`, else the daemon with the token file `local`, else
/// the only daemon of `tidegate dev`, else the only daemon.
fn choose(running: Vec<Instance>, url: Option<&str>, local: Option<&Path>) -> Result<Option<Instance>, CliError> {
    if let Some(url) = url {
        return Ok(running.into_iter().find(|instance| instance.url == url.trim_end_matches('/')));
    }
    let same = |path: &PathBuf| local.is_some_and(|local| path.canonicalize().ok() == local.canonicalize().ok());
    if let Some(here) = running.iter().find(|instance| instance.token_file.as_ref().is_some_and(same)) {
        return Ok(Some(here.clone()));
    }
    let (developed, served): (Vec<_>, Vec<_>) = running.into_iter().partition(|instance| instance.app.is_some());
    let candidates = if developed.is_empty() { served } else { developed };
    match candidates.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        // Daemons with the same token file serve the same store.
        [first, rest @ ..]
            if first.token_file.is_some() && rest.iter().all(|one| one.token_file == first.token_file) =>
        {
            Ok(Some(first.clone()))
        }
        several => {
            let line = |one: &Instance| format!("  {}  {}", one.url, one.app.as_deref().unwrap_or_default());
            let list: Vec<String> = several.iter().map(|one| line(one).trim_end().to_owned()).collect();
            Err(CliError::usage(format!(
                "the command needs a daemon, and several run on this machine:\n{}",
                list.join("\n")
            ))
            .hint("name a daemon with --url or TIDEGATE_URL, or change to its app directory"))
        }
    }
}

/// The nearest `.tidegate/token` in `here` or above it.
fn local_token_file(here: &Path) -> Option<PathBuf> {
    here.ancestors().map(|folder| folder.join(".tidegate/token")).find(|path| path.is_file())
}

fn read_token(path: &Path) -> Result<String, CliError> {
    token::read(path).map_err(|error| {
        CliError::failed(format!("cannot read the token in {}: {error}", path.display()))
            .hint("pass --token or set TIDEGATE_TOKEN")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "tg_one_00000000000000000000";
    const TWO: &str = "tg_two_00000000000000000000";

    /// Two app directories, each with a token, in a root directory without one.
    struct Disk {
        root: tempfile::TempDir,
    }

    impl Disk {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for (app, token) in [("one", ONE), ("two", TWO)] {
                std::fs::create_dir_all(root.path().join(app).join(".tidegate")).unwrap();
                std::fs::create_dir_all(root.path().join(app).join("scripts")).unwrap();
                std::fs::write(root.path().join(app).join(".tidegate/token"), format!("{token}\n")).unwrap();
                std::fs::write(root.path().join(app).join("tidegate.toml"), format!("[app]\nname = \"{app}\""))
                    .unwrap();
            }
            Self { root }
        }

        /// The daemon of `one` or of `two`. `served` is the daemon of `two`, started by `serve`.
        fn instance(&self, name: &str) -> Instance {
            let (app, port) = if name == "one" { ("one", 1001) } else { ("two", 1002) };
            Instance {
                url: format!("http://127.0.0.1:{port}"),
                app: (name != "served").then(|| app.to_owned()),
                token_file: Some(self.root.path().join(app).join(".tidegate/token")),
                pid: 1,
            }
        }

        fn find(&self, flags: &str, variables: &str, here: &str, running: &str) -> Result<Endpoint, CliError> {
            let pairs = |text: &str| -> Vec<(String, String)> {
                let words = text.split_whitespace().filter_map(|word| word.split_once('='));
                words.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
            };
            let flag = |name: &str| pairs(flags).into_iter().find(|(flag, _)| flag == name).map(|(_, value)| value);
            let global = Global { url: flag("url"), token: flag("token"), app: flag("app"), json: false };
            let environment = pairs(variables).into_iter().collect();
            find_endpoint(&global, &environment, &self.root.path().join(here), || {
                running.split_whitespace().map(|name| self.instance(name)).collect()
            })
        }
    }

    #[test]
    fn url_token_and_app_come_from_the_first_source_that_has_them() {
        let disk = Disk::new();
        let (u1, u2, default) = ("http://127.0.0.1:1001", "http://127.0.0.1:1002", "http://127.0.0.1:8787");
        let all = "TIDEGATE_URL=http://e TIDEGATE_TOKEN=e TIDEGATE_APP=e";
        for (flags, variables, here, running, url, token, app) in [
            ("url=http://f token=f app=f", all, "one", "one", "http://f", Some("f"), Some("f")),
            ("", all, "one", "one", "http://e", Some("e"), Some("e")),
            ("", "", "one", "one two", u1, Some(ONE), Some("one")),
            ("", "", "two/scripts", "one two", u2, Some(TWO), Some("two")),
            ("", "", "", "one", u1, Some(ONE), Some("one")),
            // The daemon of this directory does not run, and only one other daemon does.
            ("", "", "two/scripts", "one", u1, Some(ONE), Some("one")),
            ("", "", "two", "", default, Some(TWO), Some("two")),
            // A daemon of `dev` comes before a daemon of `serve`.
            ("", "", "", "served one", u1, Some(ONE), Some("one")),
            ("", "", "", "served", u2, Some(TWO), None),
            ("", "", "", "", default, None, None),
            ("url=http://127.0.0.1:1002/", "", "", "one two", "http://127.0.0.1:1002/", Some(TWO), Some("two")),
            ("url=http://localhost:9", "", "one", "", "http://localhost:9", Some(ONE), Some("one")),
            ("url=https://example.org", "", "one", "one", "https://example.org", None, Some("one")),
            ("url=https://127.example.org", "", "one", "", "https://127.example.org", None, Some("one")),
        ] {
            let expected =
                Endpoint { url: url.to_owned(), token: token.map(str::to_owned), app: app.map(str::to_owned) };
            assert_eq!(disk.find(flags, variables, here, running), Ok(expected), "{flags:?} {variables:?} {here:?}");
        }
    }

    #[test]
    fn any_daemon_of_one_store_is_chosen() {
        let disk = Disk::new();
        let found = disk.find("", "", "", "served served").unwrap();
        assert_eq!((found.url.as_str(), found.token.as_deref()), ("http://127.0.0.1:1002", Some(TWO)));
    }

    #[test]
    fn an_ambiguous_daemon_is_an_error_that_lists_all() {
        let disk = Disk::new();
        let error = disk.find("", "", "", "one two").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("  http://127.0.0.1:1002  two"), "{error}");
    }
}
