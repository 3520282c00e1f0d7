//! Memory and CPU time of a process, from `/proc`. Linux only.

use anyhow::Context as _;
use std::time::Duration;

/// The resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<f64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse::<f64>().ok());
    Ok(kib.context("/proc has no VmRSS for the process")? * 1_024.0)
}

/// The CPU time of a process so far, in the program and in the kernel, over all cores.
pub(crate) fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let ticks = ticks(&read(pid, "stat")?).context("/proc has no CPU times for the process")?;
    Ok(Duration::from_millis(ticks * MILLIS_PER_TICK))
}

/// The CPU time of one process, and its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessTime {
    pub(crate) pid: u32,
    pub(crate) parent: u32,
    pub(crate) time: Duration,
}

/// All processes of the machine. Empty if `/proc` cannot be read.
pub(crate) fn processes() -> Vec<ProcessTime> {
    let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    let process = |pid| {
        // A process that has ended since the listing has no file.
        let stat = read(pid, "stat").ok()?;
        Some(ProcessTime {
            pid,
            parent: parent_in(&stat)?,
            time: Duration::from_millis(ticks(&stat)? * MILLIS_PER_TICK),
        })
    };
    pids.filter_map(process).collect()
}

/// The parent of a process that runs, such as the server of a connection.
pub(crate) fn parent(pid: u32) -> anyhow::Result<u32> {
    parent_in(&read(pid, "stat")?).context("/proc has no parent for the process")
}

/// Linux reports ticks of 10 ms to processes on every machine.
const MILLIS_PER_TICK: u64 = 10;

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).with_context(|| format!("/proc/{pid}/{file}"))
}

/// The field 4, right after the state.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The sum of the fields 14 and 15. Field 2 is the name of the program in brackets and may contain
/// spaces.
fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_after_any_program_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 0 0 20 0 1 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(parent_in(stat), Some(1));
        assert_eq!(ticks("7 (a"), None);
    }

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let me = std::process::id();
        assert!(resident_bytes(me).unwrap() > 1e6);
        assert!(cpu_time(me).is_ok());
        assert!(processes().iter().any(|process| process.pid == me && process.parent == parent(me).unwrap()));
    }
}
