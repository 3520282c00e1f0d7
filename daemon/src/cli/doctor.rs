//! `tidegate doctor`: checks everything that can keep a daemon from running, and prints a remedy
//! for each failure.

use super::args::DoctorArgs;
use super::client::{Call, Client, segment};
use super::error::CliError;
use super::instance::Instance;
use super::places::{dev_store_path, dev_token_path, store_url, token_path, url_of};
use super::settings::settings;
use super::{output, stores, text};
use crate::config::{Environment, Settings};
use crate::server::StoreUrl;
use crate::{token, wall_clock};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use tidegate_core::{Micros, StoreError, StoreErrorKind, Timestamp};
use tidegate_io_postgres::PgOptions;

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
struct Check {
    check: &'static str,
    status: Status,
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Ok,
    /// The daemon runs, but an operator should know the detail.
    Warn,
    Fail,
}

/// A store that answers later counts as down.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);
/// The API shows the store's time and logs show this machine's. People compare the two.
const CLOCK_DIFFERENCE_MAX: Micros = Micros::from_millis(1_000);

pub(super) fn run(args: &DoctorArgs, json: bool, environment: &Environment) -> Result<(), CliError> {
    let mut checks = Vec::new();
    match settings(&args.store, environment, |layers| layers)
        .and_then(|settings| Ok((find_store(args, &settings)?, settings)))
    {
        Err(error) => checks.push(fail("config", error.to_string().trim_start_matches("error: "))),
        Ok((store, settings)) => {
            checks.push(ok("config", "every setting is known and within its bounds"));
            // The daemon of an app directory keeps its token in the directory, even if its store is
            // elsewhere.
            let in_directory = args.directory.as_deref().map(dev_token_path);
            let token_file = in_directory.or_else(|| token_path(&settings, &store));
            checks.push(check_token(token_file.as_deref(), environment));
            let (port, running) = match token_file.as_deref().and_then(|path| running_daemon(path, environment)) {
                Some(url) => (ok("port", format!("a daemon on this store answers at {url}")), Client::probe(&url).ok()),
                None => check_port(&settings),
            };
            checks.push(port);
            match running {
                Some(client) => {
                    checks.extend(check_readiness(&client));
                    let token = environment.get("TIDEGATE_ADMIN_TOKEN").map(str::to_owned);
                    let token = token.or_else(|| token::read(token_file.as_deref()?).ok());
                    checks.extend(token.and_then(|token| check_triggers(&client.with_token(token))));
                }
                None => checks.extend(check_store(&store, &settings.store.postgres())),
            }
        }
    }
    show(&checks, json)?;
    let failed = checks.iter().filter(|check| check.status == Status::Fail).count();
    if failed == 0 { Ok(()) } else { Err(CliError::failed(format!("{} failed", text::count(failed as u64, "check")))) }
}

fn show(checks: &[Check], json: bool) -> Result<(), CliError> {
    if json {
        return output::print_json(&serde_json::json!({ "checks": checks }).to_string()).map_err(CliError::failed);
    }
    let row = |check: &Check| {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Warn => "warn",
            Status::Fail => "FAIL",
        };
        vec![status.to_owned(), check.check.to_owned(), check.detail.trim_end().to_owned()]
    };
    let table = text::table(&["", "CHECK", "FOUND"], &checks.iter().map(row).collect::<Vec<_>>());
    output::print(&table).map_err(CliError::failed)
}

/// The store of the settings, else of the app directory.
fn find_store(args: &DoctorArgs, settings: &Settings) -> Result<StoreUrl, CliError> {
    match &args.directory {
        Some(directory) if settings.store.url.is_none() => Ok(StoreUrl::Sqlite(dev_store_path(directory))),
        _ => store_url(settings),
    }
}

fn check_token(path: Option<&Path>, environment: &Environment) -> Check {
    const NAME: &str = "admin token";
    if environment.get("TIDEGATE_ADMIN_TOKEN").is_some() {
        return ok(NAME, "TIDEGATE_ADMIN_TOKEN is set");
    }
    let Some(path) = path else {
        return fail(NAME, "a daemon on Postgres needs --admin-token-file or TIDEGATE_ADMIN_TOKEN");
    };
    let shown = path.display();
    match std::fs::metadata(path).and_then(|metadata| token::read(path).map(|_| metadata.permissions().mode())) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            ok(NAME, format!("{shown} is created at the first start"))
        }
        Err(error) => fail(NAME, format!("{shown}: {error}")),
        Ok(mode) if mode & 0o077 != 0 => warn(
            NAME,
            format!("other users may read {shown} (mode {:03o}); the next start sets mode 600", mode & 0o777),
        ),
        Ok(_) => ok(NAME, format!("{shown}, readable only by its owner")),
    }
}

/// The URL of the running daemon whose token is in this file.
fn running_daemon(token_file: &Path, environment: &Environment) -> Option<String> {
    let token_file = token_file.canonicalize().ok()?;
    let token_file_of = |instance: &Instance| instance.token_file.as_ref().and_then(|path| path.canonicalize().ok());
    let running =
        Instance::running(environment).into_iter().find(|one| token_file_of(one).as_ref() == Some(&token_file));
    running.map(|instance| instance.url)
}

/// Checks that the port is free. If a daemon listens on the port, returns a client of it.
fn check_port(settings: &Settings) -> (Check, Option<Client>) {
    const NAME: &str = "port";
    let address = settings.http.listen;
    match TcpListener::bind(address) {
        Ok(_) => return (ok(NAME, format!("{address} is free")), None),
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            return (fail(NAME, format!("cannot listen on {address}: {error}")), None);
        }
        Err(_) => {}
    }
    let client = Client::probe(&url_of(address)).ok();
    let answers = client.as_ref().is_some_and(|client| client.call(Call::get("/healthz")).is_ok());
    match client.filter(|_| answers) {
        Some(client) => (ok(NAME, format!("a daemon answers on {address}")), Some(client)),
        None => {
            let detail = format!("another program listens on {address}; choose another address with --listen");
            (fail(NAME, detail), None)
        }
    }
}

/// Checks the store and the script threads through the running daemon. Only the daemon can open its
/// SQLite file.
fn check_readiness(client: &Client) -> Vec<Check> {
    match client.call(Call::get("/readyz")) {
        Ok(answer) => {
            let store = ok("store", "the running daemon reports that its store answers");
            vec![store, check_scripts(&answer.body)]
        }
        Err(CliError::Refused(problem)) => {
            vec![fail("store", format!("the running daemon is not ready: {}", problem.detail()))]
        }
        Err(error) => vec![fail("store", error.to_string())],
    }
}

/// Warns of stored triggers that the daemon cannot read. `None` if the daemon does not list its
/// triggers.
fn check_triggers(client: &Client) -> Option<Check> {
    let list = |path: &str, field: &str| -> Option<Vec<serde_json::Value>> {
        let body: serde_json::Value = serde_json::from_str(&client.call(Call::get(path)).ok()?.body).ok()?;
        body[field].as_array().cloned()
    };
    let mut invalid = Vec::new();
    for app in list("/v1/apps", "apps")? {
        let app = app["name"].as_str()?;
        let of_app = list(&format!("/v1/apps/{}/triggers", segment(app)), "invalid")?;
        let line =
            |one: &serde_json::Value| Some(format!("{app}/{}: {}", one["name"].as_str()?, one["reason"].as_str()?));
        invalid.extend(of_app.iter().filter_map(line));
    }
    Some(report_triggers(&invalid))
}

fn report_triggers(invalid: &[String]) -> Check {
    const NAME: &str = "triggers";
    if invalid.is_empty() {
        return ok(NAME, "every stored trigger can be read");
    }
    warn(NAME, format!("cannot be read, so they do not run; deploy their apps again:\n{}", invalid.join("\n")))
}

/// Warns of stuck script threads, which the daemon reports as a detail of its readiness.
fn check_scripts(readiness: &str) -> Check {
    let body: serde_json::Value = serde_json::from_str(readiness).unwrap_or_default();
    match body["detail"].as_str() {
        None => ok("scripts", "no script thread is stuck"),
        Some(detail) => warn("scripts", detail),
    }
}

/// Opens the store as a daemon would.
fn check_store(url: &StoreUrl, options: &PgOptions) -> Vec<Check> {
    let name = url.without_password();
    if let StoreUrl::Sqlite(path) = url
        && !path.exists()
    {
        return vec![future_sqlite_file(path)];
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return vec![fail("store", error.to_string())],
    };
    let answer = runtime.block_on(async {
        tokio::time::timeout(STORE_TIMEOUT, stores::discover(url, options))
            .await
            .unwrap_or_else(|_| Err(StoreError::unknown(format!("no answer within {} s", STORE_TIMEOUT.as_secs()))))
    });
    match answer {
        Ok((clock, invalid)) => vec![
            ok("store", format!("{name} answers")),
            ok("schema", "this version supports it"),
            compare_clocks(clock, wall_clock::now()),
            report_triggers(&invalid),
        ],
        Err(error) if error.kind == StoreErrorKind::Refused => {
            vec![ok("store", format!("{name} answers")), fail("schema", error.report())]
        }
        Err(error) => vec![fail("store", format!("{name}: {}", error.report()))],
    }
}

fn future_sqlite_file(path: &Path) -> Check {
    let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    match std::fs::metadata(folder) {
        Ok(metadata) if metadata.permissions().readonly() => {
            fail("store", format!("{} cannot be created: {} is read-only", path.display(), folder.display()))
        }
        Ok(_) => ok("store", format!("{} is created at the first start", path.display())),
        Err(error) => fail("store", format!("{} cannot be created: {error}", path.display())),
    }
}

fn compare_clocks(store: Timestamp, here: Timestamp) -> Check {
    let (apart, direction) = if store > here { (store.since(here), "ahead of") } else { (here.since(store), "behind") };
    if apart <= CLOCK_DIFFERENCE_MAX {
        return ok("clock", "the clocks of the store and of this machine agree within a second");
    }
    let detail = format!(
        "the store's clock is {} {direction} this machine's: times in logs and in the API differ",
        text::duration(apart)
    );
    warn("clock", detail)
}

fn ok(check: &'static str, detail: impl Into<String>) -> Check {
    Check { check, status: Status::Ok, detail: detail.into() }
}

fn warn(check: &'static str, detail: impl Into<String>) -> Check {
    Check { check, status: Status::Warn, detail: detail.into() }
}

fn fail(check: &'static str, detail: impl Into<String>) -> Check {
    Check { check, status: Status::Fail, detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuck_script_threads_are_a_warning() {
        assert_eq!(check_scripts(r#"{"status":"ready"}"#).status, Status::Ok);
        let check = check_scripts(r#"{"status":"ready","detail":"1 script thread of 1 app is stuck"}"#);
        assert_eq!((check.status, check.detail.as_str()), (Status::Warn, "1 script thread of 1 app is stuck"));
    }

    #[test]
    fn a_clock_difference_above_a_second_is_a_warning() {
        let at = |s: i64| Timestamp(s * 1_000_000);
        for (store, here, status, words) in [
            (at(100), at(100), Status::Ok, "agree"),
            (at(101), at(100), Status::Ok, "agree"),
            (at(190), at(100), Status::Warn, "1 min ahead of"),
            (at(100), at(105), Status::Warn, "5 s behind"),
        ] {
            let check = compare_clocks(store, here);
            assert!(check.status == status && check.detail.contains(words), "{check:?}");
        }
    }
}
