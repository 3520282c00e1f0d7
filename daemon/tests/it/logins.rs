//! Many and repeated logins neither exhaust the daemon nor guess a password.

use crate::world::{Answer, App, Client, MachineLock, StoreKind, TIDEGATE, World, client};
use serde_json::json;
use std::time::{Duration, Instant};
use testkit::Daemon;

/// One hash occupies 19 MiB.
const MEMORY_GROWTH_MAX_KIB: u64 = 200 << 10;
const TRIES: usize = 300;

fn login(client: &Client, user: &str, password: &str) -> Answer {
    let body = json!({"user": user, "password": password}).to_string();
    client.anonymous().send("POST", "/v1/login", &[], Some(body.as_bytes())).expect("the daemon answers")
}

/// The most memory that the process has occupied, in KiB.
fn peak_memory_kib(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.id())).expect("the process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the kernel reports the peak");
    peak.trim().trim_end_matches(" kB").parse().expect("the peak is a number")
}

fn with_user(check: impl FnOnce(&Daemon, &App)) {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("logins", TIDEGATE, &[]);
    let app = App::new(client(&daemon), "shop");
    app.deploy(&[], &[]);
    assert_eq!(app.client.put("/v1/users/ann", &json!({"password": "correct horse"})).status, 201);
    check(&daemon, &app);
}

#[test]
fn a_flood_of_logins_is_bounded_and_does_not_slow_other_requests() {
    with_user(|daemon, app| {
        let before = peak_memory_kib(daemon);
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let tries = (0..TRIES).map(|number| {
                let client = client(daemon);
                // Half of the users exist, and no two tries of the other half have the same user.
                let user = if number % 2 == 0 { "ann".to_owned() } else { format!("user{number}") };
                scope.spawn(move || login(&client, &user, "wrong horse"))
            });
            let tries: Vec<_> = tries.collect();
            for number in 0..20 {
                let start = Instant::now();
                assert_eq!(app.client.put(&app.path("/kv/c/k"), &json!(number)).status, 200);
                assert!(start.elapsed() < Duration::from_secs(2), "a put took {:?}", start.elapsed());
            }
            tries.into_iter().map(|one| one.join().expect("the try ends")).collect()
        });
        for answer in &answers {
            assert!(matches!(answer.status, 401 | 429), "{answer:?}");
            assert_eq!(answer.status == 429, answer.header("retry-after").is_some(), "{answer:?}");
        }
        assert!(answers.iter().any(|answer| answer.status == 429), "the limit was reached");
        let growth = peak_memory_kib(daemon) - before;
        assert!(growth < MEMORY_GROWTH_MAX_KIB, "the daemon grew by {growth} KiB");
    });
}

#[test]
fn repeated_wrong_passwords_of_an_account_must_wait_longer_and_longer() {
    with_user(|daemon, _| {
        let client = client(daemon);
        let mut waits = Vec::new();
        while waits.len() < 2 {
            let answer = login(&client, "ann", "wrong horse");
            if answer.status == 429 {
                assert_eq!(answer.json()["code"], "too_many_attempts");
                let seconds: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
                assert_eq!(login(&client, "ann", "correct horse").status, 429, "the right password must wait, too");
                std::thread::sleep(Duration::from_secs(seconds));
                waits.push(seconds);
            } else {
                assert_eq!(answer.status, 401, "{answer:?}");
            }
        }
        assert!(waits[1] > waits[0], "{waits:?}");
        assert_eq!(login(&client, "ann", "correct horse").status, 201, "the right password is accepted after the wait");
        for _ in 0..5 {
            assert_eq!(login(&client, "ann", "wrong horse").status, 401, "a login resets the count");
        }
    });
}

#[test]
fn wrong_passwords_of_one_account_do_not_lock_another() {
    with_user(|daemon, app| {
        let client = client(daemon);
        assert_eq!(app.client.put("/v1/users/bob", &json!({"password": "battery staple"})).status, 201);
        while login(&client, "ann", "wrong horse").status != 429 {}
        assert_eq!(login(&client, "bob", "battery staple").status, 201);
    });
}

#[test]
fn a_session_ends_when_the_password_changes() {
    with_user(|daemon, app| {
        let session = login(&app.client, "ann", "correct horse").json()["token"].as_str().unwrap().to_owned();
        let ann = client(daemon).with_token(&session);
        assert_eq!(ann.get("/v1/whoami").status, 200);
        assert_eq!(app.client.put("/v1/users/ann/password", &json!({"password": "battery staple"})).status, 204);
        assert_eq!(ann.get("/v1/whoami").status, 401);
    });
}

#[test]
fn a_login_with_a_long_body_is_refused() {
    with_user(|_, app| {
        let refused = login(&app.client, "ann", &"x".repeat(5_000));
        assert_eq!((refused.status, refused.header("tidegate-code")), (413, Some("payload_too_large")));
    });
}
