//! Runs a program and shows its messages. Kills it after a time limit.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

pub(super) struct Child;

enum Line {
    Out(String),
    Err(String),
}

impl Child {
    /// Runs `command` and returns its standard output. Each line of its standard error goes to
    /// `show`; the last one is the reason if the program fails. The program is killed after
    /// `limit`.
    pub(super) fn run(mut command: Command, limit: Duration, show: &mut dyn FnMut(&str)) -> Result<String, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("{name} cannot be started: {error}"))?;
        let (sender, lines) = mpsc::channel();
        if let Some(out) = child.stdout.take() {
            forward(out, sender.clone(), Line::Out);
        }
        if let Some(err) = child.stderr.take() {
            forward(err, sender, Line::Err);
        }
        let mut output = String::new();
        let mut last = String::new();
        loop {
            match lines.recv_timeout(limit.saturating_sub(began.elapsed())) {
                Ok(Line::Out(line)) => output.push_str(&format!("{line}\n")),
                Ok(Line::Err(line)) if line.trim().is_empty() => {}
                Ok(Line::Err(line)) => {
                    show(&line);
                    last = line;
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let ended = child.kill().and_then(|()| child.wait());
                    let seconds = limit.as_secs();
                    return Err(match ended {
                        Ok(_) => {
                            format!("{name} did not end within {seconds} s and was killed; its last message: {last}")
                        }
                        Err(error) => format!("{name} did not end within {seconds} s and cannot be killed: {error}"),
                    });
                }
            }
        }
        let status = child.wait().map_err(|error| format!("{name}: {error}"))?;
        match (status.success(), last.is_empty()) {
            (true, _) => Ok(output),
            (false, true) => Err(format!("{name} ended with {status} without a message")),
            (false, false) => Err(last),
        }
    }
}

/// Sends the lines of a pipe until it closes. Bytes that are not UTF-8 become replacement
/// characters, because a progress line must not fail the run.
fn forward(pipe: impl Read + Send + 'static, lines: Sender<Line>, wrap: fn(String) -> Line) {
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if lines.send(wrap(line)).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, limit: Duration) -> (Result<String, String>, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut shown = Vec::new();
        let result = Child::run(command, limit, &mut |line| shown.push(line.to_owned()));
        (result, shown)
    }

    const ENOUGH: Duration = Duration::from_secs(60);

    #[test]
    fn the_output_is_returned_and_messages_are_shown() {
        let (result, shown) = check("echo one; echo half >&2; echo two", ENOUGH);
        assert_eq!(result, Ok("one\ntwo\n".to_owned()));
        assert_eq!(shown, ["half"]);
    }

    #[test]
    fn a_failure_has_the_last_line_as_its_reason() {
        let (result, _) = check("echo it began >&2; echo the disk is full >&2; echo >&2; exit 3", ENOUGH);
        assert_eq!(result, Err("the disk is full".to_owned()));
        let (silent, _) = check("exit 3", ENOUGH);
        assert_eq!(silent, Err("sh ended with exit status: 3 without a message".to_owned()));
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let (result, _) = check("echo still here >&2; exec sleep 600", Duration::from_secs(2));
        let reason = "sh did not end within 2 s and was killed; its last message: still here";
        assert_eq!(result, Err(reason.to_owned()));
    }

    #[test]
    fn a_missing_program_is_named() {
        let missing = Child::run(Command::new("/no/such/program"), ENOUGH, &mut |_| {});
        assert!(missing.as_ref().is_err_and(|reason| reason.starts_with("/no/such/program cannot be started")));
    }
}
