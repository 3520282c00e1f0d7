//! A disk that is full, and files that are deleted while the daemon runs.

use crate::world::{App, MachineLock, StoreKind, TIDEGATE, World, client, wait_for};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use testkit::{Daemon, DaemonSpec};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A daemon whose files may have at most `blocks` of 512 bytes. The limit acts like a full disk.
fn with_small_files(spec: DaemonSpec, blocks: u32) -> DaemonSpec {
    let serve = format!("trap '' XFSZ && ulimit -Sf {blocks} && exec {} serve", spec.binary.display());
    DaemonSpec { binary: PathBuf::from("/bin/sh"), args: vec!["-c".to_owned(), serve], ..spec }
}

fn allow_large_files(daemon: &Daemon) {
    let id = Pid::from_raw(i32::try_from(daemon.id()).expect("process ids are small"));
    let unlimited = Rlimit { current: None, maximum: None };
    prlimit(id, Resource::Fsize, unlimited).expect("the test may change the limit of its child");
}

/// The lines of the log about a failure or the end of one.
fn changes(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let about_store = |line: &&str| line.contains("observer: the store");
    log.lines().filter(about_store).map(str::to_owned).collect()
}

#[test]
fn a_full_disk_refuses_writes_until_it_has_space() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = Daemon::start(with_small_files(world.spec("full-disk", TIDEGATE, &[]), 2_048));
    let app = App::new(client(&daemon), "shop");
    app.deploy(&[], &[]);
    let put = |number: u32| app.client.put(&app.path(&format!("/kv/c/{number}")), &json!("x".repeat(100_000)));
    let refused = (0..50).map(put).find(|answer| answer.status != 200).expect("the disk is full");
    assert_eq!((refused.status, refused.header("tidegate-code")), (503, Some("store_unavailable")), "{refused:?}");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(daemon.wait_for_readiness(503, Duration::from_secs(5)), "{}", daemon.log());
    for number in 100..120 {
        assert_eq!(put(number).status, 503);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(daemon.readiness(), Some(503), "the daemon is not ready as long as writes fail");
    assert_eq!(app.client.get("/healthz").status, 200);
    assert_eq!(app.client.get(&app.path("/kv/c/0")).status, 200, "reads succeed");
    assert_eq!(changes(&daemon).len(), 1, "{:?}", changes(&daemon));

    allow_large_files(&daemon);
    assert!(daemon.wait_for_readiness(200, TIMEOUT), "{}", daemon.log());
    wait_for("a write", TIMEOUT, || (put(200).status == 200).then_some(()));
    wait_for("the log line about the recovery", TIMEOUT, || (changes(&daemon).len() == 2).then_some(()));
}

#[test]
fn a_deleted_or_replaced_file_is_noticed_within_a_second() {
    let _lock = MachineLock::shared();
    for replace in [false, true] {
        let world = World::new(StoreKind::Sqlite);
        let daemon = world.daemon("deleted", TIDEGATE, &[]);
        let app = App::new(client(&daemon), "shop");
        app.deploy(&[], &[]);
        let put = || app.client.put(&app.path("/kv/c/k"), &json!(1));
        assert_eq!(put().status, 200);
        let (file, aside) = (world.folder().join("tidegate.db"), world.folder().join("aside"));
        std::fs::rename(&file, &aside).unwrap();
        if replace {
            std::fs::copy(&aside, &file).unwrap();
        }
        std::thread::sleep(Duration::from_secs(1));
        let refused = put();
        assert_eq!((refused.status, refused.header("tidegate-code")), (503, Some("store_unavailable")), "{refused:?}");
        let detail = refused.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("was deleted or replaced") && detail.contains("restart the daemon"), "{detail}");
        assert!(daemon.wait_for_readiness(503, Duration::from_secs(2)), "{}", daemon.log());
        let readiness = app.client.get("/readyz").text;
        assert!(readiness.contains("was deleted or replaced"), "{readiness}");
        let doctor = doctor(&world, &daemon);
        assert!(doctor.contains("FAIL") && doctor.contains("was deleted or replaced"), "{doctor}");
        for text in [&readiness, &detail] {
            assert!(!text.contains("tidegate.db"), "a public answer has a path: {text}");
        }

        std::fs::rename(&aside, &file).unwrap();
        assert!(daemon.wait_for_readiness(200, TIMEOUT), "the file is back\n{}", daemon.log());
        assert_eq!(put().status, 200);
    }
}

fn doctor(world: &World, daemon: &Daemon) -> String {
    let store = format!("store.url=sqlite:{}", world.folder().join("tidegate.db").display());
    let listen = format!("http.listen=127.0.0.1:{}", daemon.port());
    let output = Command::new(TIDEGATE)
        .args(["doctor", "--set", &store, "--set", &listen])
        .env_remove("DATABASE_URL")
        .env("XDG_STATE_HOME", world.folder())
        .output()
        .expect("the program was built for this test");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
