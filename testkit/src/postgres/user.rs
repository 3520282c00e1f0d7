use super::PgError;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The user that Postgres runs as. Postgres refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    CurrentUser,
    Other { uid: u32, gid: u32 },
}

impl RunAs {
    /// The current user, unless that is root. For root it is `postgres`, which the server package
    /// creates, or else `nobody`. No user is created.
    pub(super) fn choose() -> Result<Self, PgError> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        if !is_root() {
            return Ok(Self::CurrentUser);
        }
        ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name)).ok_or(PgError::NoUser)
    }

    pub(super) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        // The other user may not be allowed to enter the current folder, and the environment may be
        // meant for another server.
        command.current_dir("/").env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST").env("LC_ALL", "C");
        command
    }

    pub(super) fn own(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::CurrentUser => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)),
        }
    }
}

/// Whether this process runs as root. The owner of `/proc/self` is the effective user. The standard
/// library has no `geteuid`.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").map_or_else(|_| is_root_by_id(), |meta| meta.uid() == 0)
}

/// The same for systems without `/proc`.
fn is_root_by_id() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn lookup(passwd: &str, name: &str) -> Option<RunAs> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(RunAs::Other { uid, gid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:admin:/var:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some(RunAs::Other { uid: 101, gid: 104 }));
        assert_eq!(lookup(passwd, "nobody"), None);
        assert_eq!(lookup("postgres:x:many:1::/:", "postgres"), None);
    }
}
