//! Checks that the configuration of clippy has every rule that clippy must check.
//!
//! Clippy resolves types and functions, so it also finds them behind a `use` or an alias. A crate's
//! `clippy.toml` replaces the one of the root. Each crate of the product has its own, which repeats
//! the root's entries and adds those of [`REQUIRED`]. The tools have none: they may read the
//! environment.

use super::Finding;
use super::sources::TOOLS;
use crate::workspace::{Workspace, root};
use std::io;
use toml::{Table, Value};

/// Entries that a list of a crate's `clippy.toml` must have.
struct Required {
    rule: &'static str,
    list: &'static str,
    paths: &'static [&'static str],
    needs: fn(&str) -> bool,
}

const REQUIRED: &[Required] = &[
    Required {
        rule: "environment",
        list: METHODS,
        paths: &["std::env::var", "std::env::var_os", "std::env::vars", "std::env::vars_os"],
        needs: |_| true,
    },
    Required {
        rule: "event-ids",
        list: METHODS,
        paths: &["uuid::Uuid::now_v7"],
        needs: |folder| !matches!(folder, "io-postgres" | "io-sqlite"),
    },
    Required {
        rule: "core-clock",
        list: TYPES,
        paths: &["std::time::Instant", "std::time::SystemTime"],
        needs: |folder| folder == "core",
    },
    Required {
        rule: "core-order",
        list: TYPES,
        paths: &["std::collections::HashMap", "std::collections::HashSet"],
        needs: |folder| matches!(folder, "core" | "io-sim"),
    },
];

const METHODS: &str = "disallowed-methods";
const TYPES: &str = "disallowed-types";
/// Lints of the workspace that check a rule and that clippy does not enable by default.
const LINTS: &[(&str, &str)] = &[("no-unwrap", "unwrap_used"), ("function-length", "too_many_lines")];

/// The entries that are missing from the clippy configuration of the workspace.
pub(super) fn findings(workspace: &Workspace) -> io::Result<Vec<Finding>> {
    let base = read("clippy.toml")?;
    let mut findings = missing_lints(&read("Cargo.toml")?);
    for package in workspace.our_crates() {
        let folder = package.folder.strip_prefix(root()).unwrap_or(&package.folder).to_string_lossy().into_owned();
        findings.extend(missing_inheritance(&folder, &read(&format!("{folder}/Cargo.toml"))?));
        if TOOLS.contains(&folder.as_str()) {
            continue;
        }
        let path = format!("{folder}/clippy.toml");
        match read(&path) {
            Ok(config) => findings.extend(missing_entries(&folder, &config, &base)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                findings.push(Finding::new("clippy-config", &path, "a crate of the product needs this file".into()));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(findings)
}

fn read(path: &str) -> io::Result<Table> {
    let text = std::fs::read_to_string(root().join(path))?;
    text.parse().map_err(|error| io::Error::other(format!("{path}: {error}")))
}

fn missing_lints(manifest: &Table) -> Vec<Finding> {
    let lints = manifest.get("workspace").and_then(|table| table.get("lints")).and_then(|lints| lints.get("clippy"));
    let is_missing = |(_, lint): &&(&'static str, &str)| {
        let level = lints.and_then(|lints| lints.get(lint)).and_then(Value::as_str);
        !matches!(level, Some("warn" | "deny" | "forbid"))
    };
    let missing = LINTS.iter().filter(is_missing);
    missing
        .map(|(rule, lint)| {
            Finding::new(rule, "Cargo.toml", format!("[workspace.lints.clippy] must set `{lint}` to \"warn\""))
        })
        .collect()
}

/// A crate that does not inherit the workspace's lints is checked by none of them.
fn missing_inheritance(folder: &str, manifest: &Table) -> Option<Finding> {
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(Value::as_bool);
    let path = format!("{folder}/Cargo.toml");
    (inherits != Some(true))
        .then(|| Finding::new("clippy-config", &path, "it must set `workspace = true` in [lints]".into()))
}

fn missing_entries(folder: &str, config: &Table, base: &Table) -> Vec<Finding> {
    let path = format!("{folder}/clippy.toml");
    let mut findings = Vec::new();
    for (key, value) in base {
        let is_kept = match value {
            Value::Array(_) => paths(base, key).iter().all(|entry| paths(config, key).contains(entry)),
            _ => config.get(key) == Some(value),
        };
        if !is_kept {
            let message = format!("it replaces the root's clippy.toml and must repeat its `{key}`");
            findings.push(Finding::new("clippy-config", &path, message));
        }
    }
    for required in REQUIRED.iter().filter(|required| (required.needs)(folder)) {
        let present = paths(config, required.list);
        for missing in required.paths.iter().filter(|path| !present.contains(path)) {
            let message = format!("`{}` must name `{missing}`", required.list);
            findings.push(Finding::new(required.rule, &path, message));
        }
    }
    findings
}

/// The paths of a list of disallowed items.
fn paths<'a>(config: &'a Table, list: &str) -> Vec<&'a str> {
    let entries = config.get(list).and_then(Value::as_array).into_iter().flatten();
    entries.filter_map(|entry| entry.as_str().or_else(|| entry.get("path")?.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(folder: &str, config: &str) -> Vec<String> {
        let base =
            "limit = 70\ndisallowed-methods = [{ path = \"std::process::exit\", reason = \"x\" }]".parse().unwrap();
        missing_entries(folder, &config.parse().unwrap(), &base).iter().map(ToString::to_string).collect()
    }

    const ENVIRONMENT: &str = "\"std::env::var\", \"std::env::var_os\", \"std::env::vars\", \"std::env::vars_os\"";

    #[test]
    fn a_crate_repeats_the_root_and_adds_its_own_entries() {
        let store = format!("limit = 70\ndisallowed-methods = [\"std::process::exit\", {ENVIRONMENT}]");
        assert_eq!(missing("io-sqlite", &store), Vec::<String>::new());
        assert_eq!(
            missing("io-sim", &store),
            [
                "io-sim/clippy.toml: `disallowed-methods` must name `uuid::Uuid::now_v7` [event-ids]",
                "io-sim/clippy.toml: `disallowed-types` must name `std::collections::HashMap` [core-order]",
                "io-sim/clippy.toml: `disallowed-types` must name `std::collections::HashSet` [core-order]",
            ]
        );
        let replaced = format!("limit = 71\ndisallowed-methods = [{ENVIRONMENT}]");
        let message = "io-sqlite/clippy.toml: it replaces the root's clippy.toml and must repeat its";
        let expected = ["disallowed-methods", "limit"].map(|key| format!("{message} `{key}` [clippy-config]"));
        let mut found = missing("io-sqlite", &replaced);
        found.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_lints_that_check_rules_are_enabled() {
        let manifest = "[workspace.lints.clippy]\nunwrap_used = \"warn\"\n".parse().unwrap();
        let found: Vec<_> = missing_lints(&manifest).iter().map(ToString::to_string).collect();
        let expected = ["Cargo.toml: [workspace.lints.clippy] must set `too_many_lines` to \"warn\" [function-length]"];
        assert_eq!(found, expected);
        let manifest =
            "[workspace.lints.clippy]\nunwrap_used = \"allow\"\ntoo_many_lines = \"warn\"\n".parse().unwrap();
        assert_eq!(missing_lints(&manifest).len(), 1, "a lint that is allowed checks nothing");
    }

    #[test]
    fn a_crate_inherits_the_lints_of_the_workspace() {
        let inherits = |manifest: &str| missing_inheritance("core", &manifest.parse().unwrap()).is_none();
        assert!(inherits("[lints]\nworkspace = true"));
        assert!(!inherits("[lints.clippy]\nall = \"warn\"") && !inherits(""));
    }
}
