use super::PgError;
use super::user::RunAs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that stops the server and removes its folder when this value is dropped, or when the
/// owner's process ends.
///
/// The process waits for the end of its input. The kernel closes that input however the owner ends:
/// by returning, by a panic, by an interrupt from the keyboard, or by SIGKILL. So no signal handler
/// is needed, and no crash leaves a server running.
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
    pub(super) fn start(run_as: RunAs, pg_ctl: &Path, data: &Path, folder: &Path) -> Result<Self, PgError> {
        let mut command: Command = run_as.command("/bin/sh");
        command.args(["-c", SCRIPT, "postgres-guardian"]).args([pg_ctl, data, folder]);
        // A process group of its own, because an interrupt from the keyboard goes to the whole
        // group of the owner.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { child: command.spawn().map_err(PgError::io("cannot start /bin/sh"))? })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // The folder is temporary, so a failure to remove it is ignored.
        let _ = self.child.wait();
    }
}
