//! The Postgres that tests run on: one that is given, or a throw-away server of our own.

use crate::steps::Failure;
use crate::workspace::run;
use std::io::Read as _;
use std::process::Command;
use testkit::{PgBinaries, PgCluster, PgError, PgOptions};

/// Names a Postgres to run the tests on: a URL of a user who may create databases.
pub(crate) const VARIABLE: &str = "TIDEGATE_TEST_POSTGRES";

/// Where the tests find Postgres, and what to keep alive meanwhile.
#[derive(Debug)]
pub(crate) struct Postgres {
    pub(crate) url: String,
    pub(crate) description: String,
    _cluster: Option<PgCluster>,
}

/// Takes the one that [`VARIABLE`] names, or else starts one; its programs are installed if that is possible.
pub(crate) fn obtain() -> Result<Postgres, Failure> {
    if let Ok(url) = std::env::var(VARIABLE) {
        return Ok(Postgres { url, description: format!("the one that {VARIABLE} names"), _cluster: None });
    }
    if let Err(PgError::NoServer { .. }) = PgBinaries::find() {
        install()?;
    }
    let cluster = PgCluster::create(&PgOptions::default()).map_err(|error| {
        let advice = format!("see the server's words above, or name a server of your own in {VARIABLE}");
        Failure::new(error.to_string(), advice)
    })?;
    let description = format!("{}, a throw-away server", cluster.version());
    Ok(Postgres { url: cluster.url(), description, _cluster: Some(cluster) })
}

/// `cargo xtask postgres`.
pub(crate) fn serve() -> Result<(), Failure> {
    let postgres = obtain()?;
    println!("{}", postgres.description);
    println!("export {VARIABLE}={}", postgres.url);
    println!("Ctrl-C or the end of the input stops it.");
    let mut ignored = [0; 1024];
    // An interrupt ends us here; the cluster's guardian cleans up in any case.
    while std::io::stdin().read(&mut ignored).is_ok_and(|read| read > 0) {}
    Ok(())
}

fn install() -> Result<(), Failure> {
    let advice = format!(
        "install Postgres's server (Debian, Ubuntu: `apt-get install postgresql`; Fedora: `dnf install postgresql-server`; \
         macOS: `brew install postgresql@17`), or name a server of your own: \
         {VARIABLE}=postgres://user:password@host/database, a user who may create databases"
    );
    let missing = "initdb, pg_ctl and postgres are not on this machine";
    let can_install = says("id", &["-u"]) == "0" && !says("apt-get", &["--version"]).is_empty();
    if !can_install {
        return Err(Failure::new(missing, advice));
    }
    println!("{missing}; installing the package `postgresql`");
    // Debian's package makes a cluster of its own and starts it; ours is enough.
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

fn says(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
