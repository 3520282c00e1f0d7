use crate::terminal;
use std::io::{self, Write};

/// Writes `text` to standard output. A reader that has closed the pipe, such as `head`, is no
/// error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write(&terminal::lines(text))
}

/// Writes `text` and an end of line to standard output.
pub(crate) fn print_line(text: &str) -> io::Result<()> {
    print(&format!("{text}\n"))
}

/// Writes a JSON text and an end of line to standard output.
pub(crate) fn print_json(json: &str) -> io::Result<()> {
    write(&format!("{}\n", terminal::json(json)))
}

/// Writes a line to standard error, where progress and errors go. A failure to write is ignored,
/// because there is no other output to report it.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", terminal::lines(text));
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    ignore_broken_pipe(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn ignore_broken_pipe(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
