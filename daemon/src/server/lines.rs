//! Lines for a terminal, written by their own thread. A slow reader must not slow down the
//! dispatcher.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::Duration;

/// The most lines in the queue. Further lines are left out, and the next line says how many.
const LINES_MAX: usize = 1_024;
/// The longest wait at the end for the lines in the queue.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// The sending end of the queue. Dropping it waits up to `FLUSH_MAX` until the queue is written.
#[derive(Debug)]
pub(super) struct Lines {
    /// `None` only while the struct is dropped.
    sender: Option<SyncSender<String>>,
    omitted: u64,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl Lines {
    /// Starts the thread that writes to `target`. The thread ends when a write fails.
    pub(super) fn start(target: impl Write + Send + 'static) -> Self {
        Self::with_capacity(target, LINES_MAX)
    }

    fn with_capacity(mut target: impl Write + Send + 'static, lines_max: usize) -> Self {
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
        Self { sender: Some(sender), omitted: 0, ended }
    }

    /// Queues `line`, which must end with a line feed. Never blocks.
    pub(super) fn write(&mut self, line: String) {
        let Some(sender) = &self.sender else { return };
        let line = match self.omitted {
            0 => line,
            count => format!("… {count} deliveries not shown\n{line}"),
        };
        match sender.try_send(line) {
            Ok(()) => self.omitted = 0,
            Err(_) => self.omitted += 1,
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.sender = None;
        // An error means that the thread has ended, or that the reader is too slow to wait for.
        self.ended.recv_timeout(FLUSH_MAX).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex, mpsc};

    /// Accepts one write for each token.
    struct SlowWriter(mpsc::Receiver<()>, Arc<Mutex<String>>);

    impl Write for SlowWriter {
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
    fn a_slow_reader_misses_lines_and_gets_their_number() {
        let (token, tokens) = mpsc::channel();
        let written = Arc::new(Mutex::new(String::new()));
        let mut lines = Lines::with_capacity(SlowWriter(tokens, Arc::clone(&written)), 1);
        // At most one line is being written and one is queued, so at least two are left out.
        for n in 0..4 {
            lines.write(format!("{n}\n"));
        }
        let omitted = lines.omitted;
        assert!(omitted >= 2, "{omitted}");
        for _ in 0..8 {
            token.send(()).unwrap();
        }
        while lines.omitted > 0 {
            let before = lines.omitted;
            lines.write("last\n".to_owned());
            if lines.omitted > before {
                lines.omitted = before;
                std::thread::yield_now();
            }
        }
        drop(lines);
        let written = written.lock().unwrap();
        assert!(written.starts_with("0\n"), "{written}");
        assert!(written.ends_with(&format!("… {omitted} deliveries not shown\nlast\n")), "{written}");
    }
}
