//! The time of day that a process reads, which a test can set.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI64, Ordering};

/// Shifts the time of day of the processes that are started with its environment variables. Their
/// monotonic clock stays as it is, as on a machine whose clock is set.
///
/// Only for Linux: a library that is loaded before the C library replaces its functions. It is
/// compiled with the C compiler `cc`, which the build of Tidegate needs too.
#[derive(Debug)]
pub struct ShiftedClock {
    library: String,
    file: String,
    shift_us: AtomicI64,
}

impl ShiftedClock {
    /// Compiles the library into `folder`. The shift is zero.
    ///
    /// # Errors
    ///
    /// If there is no C compiler, or the folder cannot be written.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let path = |name: &str| folder.join(name).display().to_string();
        let (source, library, file) = (path("clock.c"), path("clock.so"), path("clock.shift"));
        std::fs::write(&source, include_str!("shifted.c"))?;
        let cc = Command::new("cc").args(["-O1", "-Wall", "-shared", "-fPIC", "-o", &library, &source]).output()?;
        if !cc.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&cc.stderr).into_owned()));
        }
        let clock = Self { library, file, shift_us: AtomicI64::new(0) };
        clock.write()?;
        // The server of Postgres runs as another user.
        for path in [folder, Path::new(&clock.library), Path::new(&clock.file)] {
            std::fs::set_permissions(path, Permissions::from_mode(0o755))?;
        }
        Ok(clock)
    }

    /// The environment variables of a process that reads this clock.
    #[must_use]
    pub fn env(&self) -> Vec<(String, String)> {
        vec![("LD_PRELOAD".to_owned(), self.library.clone()), ("TESTKIT_CLOCK".to_owned(), self.file.clone())]
    }

    /// Sets the clock forward, or back if `seconds` is negative.
    ///
    /// # Errors
    ///
    /// If the file of the shift cannot be written.
    pub fn step(&self, seconds: i64) -> io::Result<()> {
        self.shift_us.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        self.write()
    }

    /// The 8 bytes are written by one call, into the same file, which the processes have mapped.
    fn write(&self) -> io::Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.file)?;
        file.write_all(&self.shift_us.load(Ordering::Relaxed).to_ne_bytes())
    }
}
