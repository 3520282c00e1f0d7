use super::PgError;
use super::user::RunAs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that stops the server and removes its folder as soon as its owner lets go of it, or is no more.
///
/// It waits for the end of its input, which the kernel closes however the owner ends: returned, panicked, interrupted
/// from the keyboard or killed. So nothing needs a signal handler, and no crash leaves a server behind.
#[derive(Debug)]
pub(super) struct Guardian {
    child: Child,
}

/// `$1` is pg_ctl, `$2` the data folder, `$3` the folder to remove.
const SCRIPT: &str = r#"
trap '' HUP INT TERM
cat >/dev/null
"$1" stop -D "$2" -m immediate -w -t 30 >/dev/null 2>&1
rm -rf -- "$3"
"#;

impl Guardian {
    pub(super) fn post(run_as: RunAs, pg_ctl: &Path, data: &Path, folder: &Path) -> Result<Self, PgError> {
        let mut command: Command = run_as.command("/bin/sh");
        command.args(["-c", SCRIPT, "postgres-guardian"]).args([pg_ctl, data, folder]);
        // A group of its own: the keyboard's interrupt goes to the whole group of its owner.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn().map_err(PgError::io("cannot start /bin/sh"))? })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // What it removes is temporary; there is nobody to tell.
        let _ = self.child.wait();
    }
}
