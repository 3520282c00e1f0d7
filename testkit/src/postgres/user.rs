use super::PgError;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Who Postgres runs as. It refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RunAs {
    Myself,
    Other { uid: u32, gid: u32 },
}

impl RunAs {
    /// Ourselves, unless we are root: then `postgres`, which the server's package makes, or else `nobody`, so that
    /// no user need be made.
    pub(super) fn choose() -> Result<Self, PgError> {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        if !am_root() {
            return Ok(Self::Myself);
        }
        ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name)).ok_or(PgError::NoUser)
    }

    pub(super) fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        // Neither a folder that the other user may not enter, nor settings meant for another server.
        command.current_dir("/").env_remove("PGDATA").env_remove("PGPORT").env_remove("PGHOST").env("LC_ALL", "C");
        command
    }

    pub(super) fn own(self, path: &Path) -> std::io::Result<()> {
        match self {
            Self::Myself => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)),
        }
    }
}

/// What we make is root's exactly if we are root; the standard library has no `geteuid`.
fn am_root() -> bool {
    std::fs::metadata("/proc/self").map_or_else(|_| id_says_root(), |meta| meta.uid() == 0)
}

/// For systems without `/proc`.
fn id_says_root() -> bool {
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
    fn a_user_is_found_by_the_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:admin:/var:/bin/sh\n";
        assert_eq!(lookup(passwd, "postgres"), Some(RunAs::Other { uid: 101, gid: 104 }));
        assert_eq!(lookup(passwd, "nobody"), None);
        assert_eq!(lookup("postgres:x:many:1::/:", "postgres"), None);
    }
}
