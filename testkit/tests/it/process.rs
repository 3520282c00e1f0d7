//! A process is terminated, started again and killed. A shell takes the place of the daemon.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testkit::{Daemon, DaemonSpec, free_port};

fn sleeper(log_folder: &Path) -> DaemonSpec {
    DaemonSpec {
        binary: PathBuf::from("/bin/sh"),
        args: ["-c", "echo \"$GREETING\"; exec sleep 60"].map(str::to_owned).to_vec(),
        env: vec![("GREETING".to_owned(), "good morning".to_owned())],
        port: free_port(),
        log_folder: log_folder.to_owned(),
        name: "sleeper".to_owned(),
    }
}

fn wait_for_greetings(daemon: &Daemon, count: usize) {
    let start = Instant::now();
    while daemon.log().matches("good morning").count() < count {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", daemon.log());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_process_is_terminated_started_again_and_killed() {
    let folder = std::env::temp_dir().join(format!("testkit-process-{}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    let mut daemon = Daemon::launch(sleeper(&folder));
    wait_for_greetings(&daemon, 1);
    assert!(daemon.is_running());
    assert_eq!(daemon.readiness(), None, "the shell listens on no port");
    assert_eq!(daemon.terminate().signal(), Some(15));

    daemon.relaunch();
    wait_for_greetings(&daemon, 2);
    daemon.kill9();
    assert!(!daemon.is_running());
    drop(daemon);
    std::fs::remove_dir_all(&folder).unwrap();
}
