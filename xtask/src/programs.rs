//! Programs of the workspace, built in release mode.

use crate::steps::Failure;
use crate::workspace::{cargo, show};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A program: its package and its name.
pub(crate) type Program = (&'static str, &'static str);

pub(crate) const DAEMON: Program = ("tidegate", "tidegate");

/// Builds the programs and returns their paths. One call of cargo builds them all, so that their
/// shared crates are built once, with the same features.
pub(crate) fn build<const N: usize>(programs: [Program; N]) -> Result<[PathBuf; N], Failure> {
    let mut build = cargo();
    build.args(["build", "--release", "--message-format", "json-render-diagnostics"]);
    for (package, name) in programs {
        build.args(["--package", package, "--bin", name]);
    }
    let line = show(&build);
    let output = build.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| Failure::new(format!("`{line}`: {error}"), "is cargo on the PATH?"))?;
    if !output.status.success() {
        return Err(Failure::new(format!("`{line}`: {}", output.status), "fix the errors above"));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let missing = programs.iter().find(|(_, name)| executable(&messages, name).is_none());
    if let Some((_, name)) = missing {
        let next = "adapt xtask/src/programs.rs to this version of cargo";
        return Err(Failure::new(format!("cargo built no program {name}"), next));
    }
    Ok(programs.map(|(_, name)| executable(&messages, name).unwrap_or_default()))
}

/// The path of a built program, from the JSON messages of cargo.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = messages.filter(|message| message["target"]["name"] == name);
    found.find_map(|message| message["executable"].as_str().map(|path| Path::new(path).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_program_is_read_from_the_messages() {
        let messages = r#"
            {"reason":"compiler-artifact","target":{"name":"bench"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"tidegate"},"executable":"/t/tidegate"}
            {"reason":"compiler-artifact","target":{"name":"bench"},"executable":"/t/bench"}
            not JSON"#;
        assert_eq!(executable(messages, "bench"), Some(PathBuf::from("/t/bench")));
        assert_eq!(executable(messages, "none"), None);
    }
}
