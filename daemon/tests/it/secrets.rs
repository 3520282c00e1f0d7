//! Passwords in the URL of a store reach no output and no log.

use crate::cli_support::{CommandOutput, TIMEOUT, example, tidegate, wait_for};
use std::process::Stdio;
use std::time::Duration;
use testkit::free_port;

/// URLs of a database that does not exist, and texts that are no URLs.
fn urls() -> Vec<String> {
    let server = std::env::var("TIDEGATE_TEST_POSTGRES").expect("the tests have a Postgres server");
    let address = server.rsplit('@').next().and_then(|rest| rest.split('/').next()).expect("the URL has a host");
    [
        "postgres://u:sekret@ADDRESS/none",
        "postgres://u:sek@ret:sekret@ADDRESS/none",
        "postgres://ADDRESS/none?user=u&password=sekret",
        "postgres://ADDRESS/none?p%61ssword=sekret&password=sekret2",
        "postgres://ADDRESS/none?user=u&PASSWORD=sekret&sslpassword=sekret&sslmode=disable",
        "postgresql://u:sekret@127.0.0.1:port/db",
        "postgres://u:sekret",
        "postgres:host=127.0.0.1 password=sekret",
        "host=127.0.0.1 user=u password=sekret",
        "mysql://u:sekret@127.0.0.1/db",
        "sekret",
    ]
    .map(|url| url.replace("ADDRESS", address))
    .into()
}

#[test]
fn commands_hide_the_passwords_of_a_store() {
    let folder = tempfile::tempdir().unwrap();
    for url in urls() {
        for command in ["migrate", "doctor"] {
            let from_variable = tidegate(&[command]).env("DATABASE_URL", &url).current_dir(folder.path()).output();
            let from_flag = tidegate(&[command, "--database-url", &url]).current_dir(folder.path()).output();
            let assigned = tidegate(&[command, "--set", &format!("store.url:{url}")]).output();
            for output in [from_variable, from_flag, assigned] {
                let output = CommandOutput::of(&output.unwrap());
                assert!(output.code != 0 && !format!("{output:?}").contains("sek"), "{command} {url}: {output:?}");
            }
        }
    }
}

#[test]
fn daemons_hide_the_passwords_of_a_store() {
    let app = example();
    for url in urls() {
        for args in [&["dev", "."][..], &["serve", "--admin-token-file", "t", "--log-level", "trace"]] {
            let log = app.path().join("log");
            let file = std::fs::File::create(&log).unwrap();
            let mut child = tidegate(&[args, &["--listen", "127.0.0.1:0"]].concat())
                .env("DATABASE_URL", &url)
                .env("XDG_STATE_HOME", app.path())
                .current_dir(app.path())
                .stdin(Stdio::null())
                .stdout(file.try_clone().unwrap())
                .stderr(file)
                .spawn()
                .unwrap();
            let text = || std::fs::read_to_string(&log).unwrap();
            // The daemon ends, or waits for its store.
            wait_for("the store to fail", TIMEOUT + Duration::from_secs(20), || {
                let ended = child.try_wait().unwrap().is_some();
                (ended || text().contains("the store cannot be opened")).then_some(())
            });
            child.kill().ok();
            child.wait().unwrap();
            assert!(!text().is_empty() && !text().contains("sek"), "{args:?} {url}: {}", text());
        }
    }
}

#[test]
fn commands_hide_the_credentials_of_a_daemon() {
    let port = free_port();
    for (url, code) in [(format!("http://u:sekret@127.0.0.1:{port}"), 3), ("u:sekret@127.0.0.1".to_owned(), 2)] {
        let output = CommandOutput::of(&tidegate(&["--url", &url, "--token", "t", "triggers"]).output().unwrap());
        assert!(output.code == code && !output.err.contains("sekret"), "{url}: {output:?}");
    }
}
