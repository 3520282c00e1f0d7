//! The throw-away cluster, with the Postgres that is installed on this machine.

use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::{PgCluster, PgOptions, StopMode};

fn port_of(url: &str) -> u16 {
    let (_, rest) = url.rsplit_once(':').expect("a URL names a port");
    rest.split('/').next().and_then(|port| port.parse().ok()).expect("the port is a number")
}

fn is_listening(url: &str) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port_of(url))).is_ok()
}

fn folders() -> Vec<PathBuf> {
    let prefix = format!("tidegate-pg-{}-", std::process::id());
    let entries = std::fs::read_dir(std::env::temp_dir()).expect("the temporary folder can be read").flatten();
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix)).map(|e| e.path()).collect()
}

#[test]
fn a_cluster_starts_crashes_restarts_and_removes_its_folder() {
    let options = PgOptions { max_connections: 20, shared_buffers_mb: 16, ..PgOptions::default() };
    let cluster = PgCluster::create(&options).unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.url();
    assert!(is_listening(&url));
    assert_eq!(folders().len(), 1);

    cluster.restart_immediate().unwrap_or_else(|error| panic!("{error}"));
    assert!(is_listening(&url), "after a crash the server listens on the same port");

    cluster.stop(StopMode::Fast).unwrap_or_else(|error| panic!("{error}"));
    assert!(!is_listening(&url));
    assert!(cluster.stop(StopMode::Fast).is_err(), "a stopped server cannot be stopped");
    cluster.start().unwrap_or_else(|error| panic!("{error}"));
    assert!(is_listening(&url));

    let start = Instant::now();
    drop(cluster);
    assert!(!is_listening(&url));
    assert_eq!(folders(), Vec::<PathBuf>::new());
    assert!(start.elapsed() < Duration::from_secs(30));
}
