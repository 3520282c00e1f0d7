//! Lines for a person, written by a thread of their own: whoever reads them slowly must not slow the dispatcher down.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Lines that wait for the reader. Beyond these some are left out, and it is said how many.
const LINES_MAX: usize = 1_024;
/// How long the last lines may take at the end.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The writing end. Dropping it waits a little until all is written.
#[derive(Debug)]
pub(super) struct Lines {
    /// Taken only when it is dropped.
    sender: Option<SyncSender<String>>,
    left_out: u64,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Lines {
    /// Writes to `target` from now on. A target that is closed is its reader's decision.
    pub(super) fn start(target: impl Write + Send + 'static) -> Self {
        Self::with_room(target, LINES_MAX)
    }

    fn with_room(mut target: impl Write + Send + 'static, lines_max: usize) -> Self {
        let (sender, lines) = sync_channel::<String>(lines_max);
        let (end, ended) = channel();
        std::thread::spawn(move || {
            let _end = end;
            for line in lines {
                if target.write_all(line.as_bytes()).and_then(|()| target.flush()).is_err() {
                    return;
                }
            }
        });
        Self { sender: Some(sender), left_out: 0, ended }
    }

    /// Writes `line`, which ends with a line feed, when the reader is so far.
    pub(super) fn write(&mut self, line: String) {
        let Some(sender) = &self.sender else { return };
        let line = match self.left_out {
            0 => line,
            many => format!("… {many} deliveries not shown\n{line}"),
        };
        match sender.try_send(line) {
            Ok(()) => self.left_out = 0,
            Err(_) => self.left_out += 1,
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.sender = None;
        // Disconnected or late: nothing more can be done in either case.
        self.ended.recv_timeout(FLUSH_MAX).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, mpsc};

    /// Takes one write for each token.
    struct Slow(mpsc::Receiver<()>, Arc<Mutex<String>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(io::Error::other)?;
            self.1.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_slow_reader_misses_lines_and_is_told() {
        let (token, tokens) = mpsc::channel();
        let written = Arc::new(Mutex::new(String::new()));
        let mut lines = Lines::with_room(Slow(tokens, Arc::clone(&written)), 1);
        // One is being written at most and one waits, so at least two are left out.
        for n in 0..4 {
            lines.write(format!("{n}\n"));
        }
        let left_out = lines.left_out;
        assert!(left_out >= 2, "{left_out}");
        for _ in 0..8 {
            token.send(()).unwrap();
        }
        while lines.left_out > 0 {
            let before = lines.left_out;
            lines.write("last\n".to_owned());
            if lines.left_out > before {
                lines.left_out = before;
                std::thread::yield_now();
            }
        }
        drop(lines);
        let written = written.lock().unwrap();
        assert!(written.starts_with("0\n"), "{written}");
        assert!(written.ends_with(&format!("… {left_out} deliveries not shown\nlast\n")), "{written}");
    }
}
