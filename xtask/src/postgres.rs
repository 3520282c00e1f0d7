//! The Postgres server for the tests: the server that the environment names, or a throw-away
//! server.

use crate::steps::Failure;
use crate::workspace::run;
use std::io::Read as _;
use std::process::Command;
use testkit::{PgBinaries, PgCluster, PgError, PgOptions};

/// The environment variable with the URL of a Postgres server. Its user must be able to create
/// databases.
pub(crate) const VARIABLE: &str = "TIDEGATE_TEST_POSTGRES";

/// A Postgres server. A throw-away server is removed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) url: String,
    pub(crate) description: String,
    _cluster: Option<PgCluster>,
}

/// Uses the server that [`VARIABLE`] names, or starts a throw-away server. Installs the server
/// programs if they are missing and the user is root on Debian or Ubuntu.
pub(crate) fn obtain() -> Result<Postgres, Failure> {
    if let Ok(url) = std::env::var(VARIABLE) {
        return Ok(Postgres { url, description: format!("the server in {VARIABLE}"), _cluster: None });
    }
    if let Err(PgError::NoServer { .. }) = PgBinaries::find() {
        install()?;
    }
    let cluster = PgCluster::create(&PgOptions::default()).map_err(|error| {
        let advice = format!("see the messages of the server above, or name a server of your own in {VARIABLE}");
        Failure::new(error.to_string(), advice)
    })?;
    let description = format!("{}, a throw-away server", cluster.version());
    Ok(Postgres { url: cluster.url(), description, _cluster: Some(cluster) })
}

/// `cargo xtask postgres`: keeps a server until the input ends.
pub(crate) fn serve() -> Result<(), Failure> {
    let postgres = obtain()?;
    println!("{}", postgres.description);
    println!("export {VARIABLE}={}", postgres.url);
    println!("Press Ctrl-C or close the input to stop the server.");
    let mut ignored = [0; 1024];
    // An interrupt ends this process. The guardian of the cluster still removes the server.
    while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
    Ok(())
}

fn install() -> Result<(), Failure> {
    let advice = format!(
        "install Postgres's server (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server`; \
         macOS: `brew install postgresql@17`), or name a server of your own: \
         {VARIABLE}=postgres://user:password@host/database, with a user that may create databases"
    );
    let missing = "initdb, pg_ctl and postgres are not on this machine";
    let can_install = output_of("id", &["-u"]) == "0" && !output_of("apt-get", &["--version"]).is_empty();
    if !can_install {
        return Err(Failure::new(missing, advice));
    }
    println!("{missing}; installing the package `postgresql`");
    // Debian's package creates a cluster and starts it, unless this file forbids it.
    let no_cluster = "/etc/postgresql-common/createcluster.d";
    let made = std::fs::create_dir_all(no_cluster)
        .and_then(|()| std::fs::write(format!("{no_cluster}/tidegate.conf"), "create_main_cluster = false\n"));
    made.map_err(|error| Failure::new(format!("{no_cluster}: {error}"), advice.clone()))?;
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt_get().arg("update"), &advice)?;
    run(apt_get().args(["install", "-y", "--no-install-recommends", "postgresql"]), &advice)
}

fn output_of(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
