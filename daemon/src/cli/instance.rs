use crate::config::Environment;
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The record of a running daemon, by which the same user's commands in another shell find the
/// daemon.
///
/// A record contains no secret, only the path of the token file. A record whose daemon does not
/// answer is ignored, so a record that is left behind does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) url: String,
    /// The app of a daemon of `tidegate dev`.
    pub(crate) app: Option<String>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) pid: u32,
}

/// The file of a record. Dropping the registration removes the file.
#[derive(Debug)]
pub(crate) struct Registration {
    path: PathBuf,
    pid: u32,
}

/// A port of this machine accepts a connection within milliseconds, or is closed.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);

impl Instance {
    pub(crate) fn of_this_process(url: String, app: Option<String>, token_file: Option<PathBuf>) -> Self {
        Self { url, app, token_file, pid: std::process::id() }
    }

    /// Writes the record of a daemon that listens on `address`. Only this user can read the file.
    pub(crate) fn register(&self, environment: &Environment, address: SocketAddr) -> io::Result<Registration> {
        let folder = folder(environment).ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME is set"))?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        remove_stale_records(&folder);
        let name = address.to_string().replace(['[', ']'], "").replace(':', "_");
        let path = folder.join(format!("{name}.json"));
        // A rename is atomic, so no reader sees half a record.
        let draft = folder.join(format!(".{name}.{}", self.pid));
        let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(serde_json::to_string_pretty(self)?.as_bytes())?;
        std::fs::rename(&draft, &path)?;
        Ok(Registration { path, pid: self.pid })
    }

    /// The records of daemons that still run, in the order of their file names.
    pub(crate) fn running(environment: &Environment) -> Vec<Self> {
        let paths = folder(environment).map(|folder| records(&folder)).unwrap_or_default();
        paths.iter().filter_map(|path| read(path)).filter(Self::is_running).collect()
    }

    fn is_running(&self) -> bool {
        // Another process may have the same id now, but it does not listen on this address.
        let answers = |address| TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_ok();
        self.has_process() && self.address().is_some_and(answers)
    }

    /// Whether a process with this id exists. Without /proc, the answer is always yes.
    fn has_process(&self) -> bool {
        !Path::new("/proc/self").exists() || Path::new(&format!("/proc/{}", self.pid)).exists()
    }

    fn address(&self) -> Option<SocketAddr> {
        self.url.strip_prefix("http://")?.parse().ok()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Another daemon may have taken over the port, and the file of the record with it.
        if read(&self.path).is_some_and(|instance| instance.pid == self.pid) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn folder(environment: &Environment) -> Option<PathBuf> {
    environment.state_home().map(|home| home.join("tidegate/instances"))
}

/// The record files of a folder, in the order of their names.
fn records(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths
}

/// Removes the records of daemons that were killed.
fn remove_stale_records(folder: &Path) {
    for path in records(folder) {
        if read(&path).is_some_and(|instance| !instance.has_process()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> Option<Instance> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt;

    fn environment(home: &Path) -> Environment {
        [("XDG_STATE_HOME".to_owned(), home.display().to_string())].into_iter().collect()
    }

    #[test]
    fn a_record_is_found_while_its_daemon_listens() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        assert_eq!(Instance::running(&environment), []);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let instance = Instance {
            url: format!("http://{address}"),
            app: Some("orders".to_owned()),
            token_file: Some("/x/token".into()),
            pid: std::process::id(),
        };
        let registration = instance.register(&environment, address).unwrap();
        assert_eq!(std::fs::metadata(&registration.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            registration.path.file_name().unwrap().to_str().unwrap(),
            format!("127.0.0.1_{}.json", address.port())
        );
        assert_eq!(Instance::running(&environment), [instance]);

        drop(listener);
        assert_eq!(Instance::running(&environment), [], "no daemon listens");
        drop(registration);
        assert_eq!(std::fs::read_dir(home.path().join("tidegate/instances")).unwrap().count(), 0);
    }

    #[test]
    fn a_daemon_does_not_remove_the_record_of_its_successor() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let address = "127.0.0.1:9".parse().unwrap();
        let instance = |pid| Instance { url: format!("http://{address}"), app: None, token_file: None, pid };
        let first = instance(1).register(&environment, address).unwrap();
        let second = instance(std::process::id()).register(&environment, address).unwrap();
        drop(first);
        assert_eq!(read(&second.path), Some(instance(std::process::id())));
    }

    #[test]
    fn the_record_of_a_killed_daemon_is_removed() {
        let home = tempfile::tempdir().unwrap();
        let environment = environment(home.path());
        let instance = |pid| Instance { url: "http://127.0.0.1:9".to_owned(), app: None, token_file: None, pid };
        // No process has this id: it is above the largest id of Linux.
        let dead = instance(u32::MAX).register(&environment, "127.0.0.1:9".parse().unwrap()).unwrap();
        let alive = instance(std::process::id()).register(&environment, "127.0.0.1:10".parse().unwrap()).unwrap();
        assert_eq!((read(&dead.path), read(&alive.path)), (None, Some(instance(std::process::id()))));
    }
}
