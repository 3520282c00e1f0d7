//! Clients that open many connections, or stop sending or reading, do not stop the daemon from
//! serving others.

use crate::world::{App, MachineLock, StoreKind, TESTBED, TIDEGATE, TOKEN, World, client, wait_for};
use serde_json::json;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::{Daemon, DaemonSpec};

/// The most open files of the daemon in this file's floods. More connections are opened.
const FILES_MAX: usize = 1_024;
const FLOOD: usize = 1_500;
/// The longest wait for an answer during a flood, on a busy machine.
const ANSWER_TIME: Duration = Duration::from_secs(15);

/// A daemon with a soft limit of 256 open files, which it may raise to `FILES_MAX`.
fn with_few_files(spec: DaemonSpec) -> DaemonSpec {
    let serve = format!("ulimit -Sn 256 && ulimit -Hn {FILES_MAX} && exec {} serve", spec.binary.display());
    DaemonSpec { binary: PathBuf::from("/bin/sh"), args: vec!["-c".to_owned(), serve], ..spec }
}

fn connect(daemon: &Daemon, first_bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", daemon.port())).expect("the kernel accepts the connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The daemon may have closed the connection already.
    let _ = stream.write_all(first_bytes.as_bytes());
    stream
}

/// Opens `FLOOD` connections that send only `first_bytes`, and uses the daemon while they are open.
fn check_flood(first_bytes: &str) {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = Daemon::start(with_few_files(world.spec("flooded", TIDEGATE, &[])));
    let app = App::new(client(&daemon), "shop");
    app.deploy(&[], &[]);
    let mut strangers = Vec::with_capacity(FLOOD);
    for number in 0..FLOOD {
        strangers.push(connect(&daemon, first_bytes));
        if number % 500 == 499 {
            let start = Instant::now();
            // Each request has a new connection. The daemon may have closed an idle one.
            for path in ["/healthz", "/readyz"] {
                assert_eq!(client(&daemon).anonymous().get(path).status, 200, "{path}\n{}", daemon.log());
            }
            assert_eq!(client(&daemon).put(&app.path("/kv/c/k"), &json!(number)).status, 200);
            assert_eq!(client(&daemon).get("/v1/gate").status, 200);
            assert!(start.elapsed() < ANSWER_TIME, "{:?} after {number} connections", start.elapsed());
        }
    }
    assert!(!daemon.log().contains("Too many open files"), "{}", daemon.log());
}

#[test]
fn idle_connections_of_others_do_not_stop_the_daemon() {
    check_flood("");
}

#[test]
fn unfinished_heads_of_others_do_not_stop_the_daemon() {
    check_flood("GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ");
}

#[test]
fn unfinished_bodies_of_others_do_not_stop_the_daemon() {
    check_flood("POST /v1/login HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{");
}

/// The answer until the daemon closes the connection, and the time until then.
fn read_until_closed(mut stream: TcpStream) -> (String, Duration) {
    let (start, mut answer) = (Instant::now(), Vec::new());
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the connection is not closed: {error}"),
    }
    (String::from_utf8_lossy(&answer).into_owned(), start.elapsed())
}

#[test]
fn a_client_that_stops_sending_is_disconnected() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let settings = [
        ("TIDEGATE_HTTP_HEADER_TIMEOUT_MS", "1000"),
        ("TIDEGATE_HTTP_BODY_TIMEOUT_MS", "1500"),
        ("TIDEGATE_HTTP_IDLE_TIMEOUT_MS", "2000"),
    ];
    let daemon = world.daemon("timeouts", TIDEGATE, &settings);
    let put = format!(
        "PUT /v1/apps/shop/kv/c/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-length: 9\r\n\r\n1"
    );
    for (first_bytes, after_ms, answer) in [
        ("", 1_000, ""),
        ("GET /hea", 1_000, ""),
        (put.as_str(), 1_500, "HTTP/1.1 408"),
        ("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", 2_000, "HTTP/1.1 200"),
    ] {
        let (answered, took) = read_until_closed(connect(&daemon, first_bytes));
        assert!(answered.starts_with(answer) && answered.is_empty() == answer.is_empty(), "{first_bytes}: {answered}");
        let (least, most) = (Duration::from_millis(after_ms - 100), Duration::from_millis(after_ms + 4_000));
        assert!((least..most).contains(&took), "{first_bytes}: {took:?}");
    }
}

#[test]
fn a_client_that_sends_one_byte_at_a_time_is_disconnected() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("trickle", TIDEGATE, &[("TIDEGATE_HTTP_HEADER_TIMEOUT_MS", "1000")]);
    let mut stream = connect(&daemon, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ");
    stream.set_nodelay(true).unwrap();
    let start = Instant::now();
    wait_for("the daemon to close the connection", Duration::from_secs(10), || {
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"x").is_err().then_some(())
    });
    assert!(start.elapsed() > Duration::from_millis(900), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_does_not_read_its_reply_is_disconnected() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let settings = [("TIDEGATE_HTTP_WRITE_TIMEOUT_MS", "1000"), ("TIDEGATE_SCRIPTS_DATA_BYTES_MAX", "4000000")];
    let daemon = world.daemon("unread", TIDEGATE, &settings);
    let app = App::new(client(&daemon), "shop");
    app.deploy(&[], &[]);
    app.client.put(&app.path("/kv/c/k"), &json!("x".repeat(3_000_000))).ok();
    let get = format!("GET /v1/apps/shop/kv/c/k HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    let mut stream = connect(&daemon, &get.repeat(20));
    // The daemon closes the connection with requests unread, which resets it.
    wait_for("the daemon to close the connection", Duration::from_secs(15), || {
        std::thread::sleep(Duration::from_millis(100));
        stream.write_all(b"\r\n").is_err().then_some(())
    });
}

#[test]
fn a_running_call_keeps_its_connection_when_others_are_refused() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let daemon = world.daemon("full", TESTBED, &[("TIDEGATE_HTTP_CONNECTIONS_MAX", "16")]);
    let app = App::new(client(&daemon), "shop");
    let rule = json!({"name": "slow", "match": {"source": "http", "method": "GET", "path": "/slow", "public": true},
        "handler": {"native": "answer_in_5s"}});
    app.deploy(&[], &[rule]);
    let call = "GET /http/shop/slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let mut calls: Vec<_> = (0..15).map(|_| connect(&daemon, call)).collect();
    wait_for("the calls to run", Duration::from_secs(10), || {
        (app.client.get("/v1/gate").json()["running"] == 15).then_some(())
    });
    // This call takes the place of the idle connection of `app`.
    calls.push(connect(&daemon, call));
    std::thread::sleep(Duration::from_millis(1_500));
    let refused = wait_for("a refusal", Duration::from_secs(10), || {
        let (answer, took) =
            read_until_closed(connect(&daemon, "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
        (!answer.starts_with("HTTP/1.1 200") && took < Duration::from_secs(1)).then_some(answer)
    });
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 503"), "{refused}");
    for stream in calls {
        let (answer, _) = read_until_closed(stream);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    }
    assert_eq!(app.client.get("/healthz").status, 200, "a place is free again");
}

#[test]
fn one_address_cannot_use_all_connections() {
    let _lock = MachineLock::shared();
    let world = World::new(StoreKind::Sqlite);
    let settings = [("TIDEGATE_HTTP_CONNECTIONS_PER_ADDRESS_MAX", "20"), ("TIDEGATE_HTTP_CONNECTIONS_MAX", "100")];
    let daemon = world.daemon("shared", TIDEGATE, &settings);
    let all: Vec<_> = (0..60).map(|_| connect(&daemon, "")).collect();
    assert_eq!(client(&daemon).get("/healthz").status, 200);
    let open = all.iter().filter(|stream| {
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        (&mut &**stream).read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    });
    // One of the 20 places is the one of the client above.
    let open = open.count();
    assert!((15..20).contains(&open), "{open}");
}
