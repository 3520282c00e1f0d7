//! What was measured on: without it no figure means anything.

use crate::harness::Folder;
use serde::{Deserialize, Serialize};
use std::process::Command;

/// A machine, and the programs that were measured with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// What the processor calls itself.
    pub cpu: String,
    /// How many cores this process may use.
    pub cores: usize,
    /// In MiB.
    pub memory_mib: u64,
    /// Its name and version.
    pub kernel: String,
    /// Where databases lay.
    pub disk: String,
    /// The compiler's version.
    pub rustc: String,
    /// The server's version; empty if it was not needed.
    pub postgres: String,
    /// The library's version.
    pub sqlite: String,
    /// How many processes wanted to run, on the average of the minute before and after: above the number of cores somebody
    /// else was busy too.
    pub load: (String, String),
}

impl Machine {
    /// Looks around, before anything is measured.
    pub fn look(folder: &Folder) -> Self {
        let cpu = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown".to_owned());
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let disk = &folder.disk;
        Self {
            cpu,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: memory_kib / 1_024,
            kernel: says("uname", &["-sr"]),
            disk: format!("{} on {}{}", disk.file_system, disk.device, kind_of(&disk.device)),
            rustc: says("rustc", &["--version"]),
            postgres: String::new(),
            sqlite: rusqlite::version().to_owned(),
            load: (load(), String::new()),
        }
    }

    /// Whether others kept most of its cores busy when the run began. What is busy at the end is the run itself.
    #[must_use]
    pub fn was_busy(&self) -> bool {
        self.load.0.parse::<f64>().is_ok_and(|load| load > self.cores as f64 / 2.0)
    }

    /// What was there to see only at the end.
    #[must_use]
    pub fn at_the_end(self, postgres: Option<String>) -> Self {
        Self { postgres: postgres.unwrap_or_default(), load: (self.load.0, load()), ..self }
    }
}

/// Whether a block device turns, where the kernel says so.
fn kind_of(device: &str) -> &'static str {
    let name = device.rsplit('/').next().unwrap_or_default();
    match read(&format!("/sys/class/block/{name}/queue/rotational")).trim() {
        "0" => " (no rotating disk)",
        "1" => " (a rotating disk, or one that says so)",
        _ => "",
    }
}

fn load() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of a line `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn says(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_what_follows_its_colon() {
        let text = "processor\t: 0\nmodel name\t: A B @ 2.8GHz\nMemTotal:  17 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A B @ 2.8GHz"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("17 kB"));
        assert_eq!(field(text, "none"), None);
    }
}
