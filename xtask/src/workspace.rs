//! The workspace as cargo describes it: its crates, their dependencies and all licences.

use crate::steps::Failure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The workspace as `cargo metadata` resolves it for this machine.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) packages: BTreeMap<String, Package>,
    /// The ids of the crates in this workspace.
    pub(crate) members: Vec<String>,
}

/// A crate of the workspace or one of its dependencies.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression, such as `MIT OR Apache-2.0`.
    pub(crate) licence: Option<String>,
    /// The folder with its manifest.
    pub(crate) folder: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
}

/// A resolved dependency of a crate.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// A key of [`Workspace::packages`].
    pub(crate) id: String,
    /// The crate itself or its build script needs it, not only its tests.
    pub(crate) in_product: bool,
}

/// The folder with the workspace's manifest.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the folder of xtask is inside the workspace's folder")
}

/// A command for the cargo that runs this program, in the workspace's folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs `command` with the input and output of this process. Its exit status must be 0.
pub(crate) fn run(command: &mut Command, advice: &str) -> Result<(), Failure> {
    let line = show(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("`{line}`: {status}"), advice)),
        Err(error) => Err(Failure::new(format!("`{line}` cannot be started: {error}"), advice)),
    }
}

pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

impl Workspace {
    /// Runs `cargo metadata` and reads its output.
    pub(crate) fn load() -> Result<Self, Failure> {
        // Without a platform, cargo also fetches the crates that only other platforms need.
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1", "--filter-platform", &host()?]);
        let output = command.output().map_err(|error| Failure::new(error.to_string(), "is cargo installed?"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::new(text, "fix the manifest that cargo names"));
        }
        let metadata =
            serde_json::from_slice(&output.stdout).map_err(|error| Failure::new(error.to_string(), REPORT))?;
        Self::read(&metadata)
            .ok_or_else(|| Failure::new("the output of `cargo metadata` has an unexpected shape", REPORT))
    }

    fn read(metadata: &Value) -> Option<Self> {
        let mut packages = BTreeMap::new();
        for package in metadata["packages"].as_array()? {
            let manifest = Path::new(package["manifest_path"].as_str()?);
            let read = Package {
                name: package["name"].as_str()?.to_owned(),
                version: package["version"].as_str()?.to_owned(),
                licence: package["license"].as_str().map(str::to_owned),
                folder: manifest.parent()?.to_owned(),
                dependencies: Vec::new(),
            };
            packages.insert(package["id"].as_str()?.to_owned(), read);
        }
        for node in metadata["resolve"]["nodes"].as_array()? {
            let dependencies = node["deps"].as_array()?.iter().map(read_dependency).collect::<Option<_>>()?;
            packages.get_mut(node["id"].as_str()?)?.dependencies = dependencies;
        }
        let members = metadata["workspace_members"].as_array()?.iter();
        Some(Self { packages, members: members.map(|id| id.as_str().map(str::to_owned)).collect::<Option<_>>()? })
    }

    /// The crates of this workspace.
    pub(crate) fn our_crates(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().map(|id| &self.packages[id])
    }
}

/// The names of all crates in the dependency tree of `name`, built alone: without the features that
/// other crates of the workspace switch on, and without dependencies of tests.
pub(crate) fn tree_of(name: &str) -> Result<Vec<String>, Failure> {
    let mut command = cargo();
    command.args(["tree", "--package", name, "--edges", "normal,build", "--prefix", "none", "--format", "{p}"]);
    let output = command.output().map_err(|error| Failure::new(error.to_string(), "is cargo installed?"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut names: Vec<String> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    if output.status.success() && names.iter().any(|found| found == name) {
        return Ok(names);
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("`{}`: {message}", show(&command)), REPORT))
}

const REPORT: &str = "adapt xtask/src/workspace.rs to this version of cargo";

fn read_dependency(dependency: &Value) -> Option<Dependency> {
    let kinds = dependency["dep_kinds"].as_array()?;
    let in_product = kinds.iter().any(|kind| kind["kind"].as_str() != Some("dev"));
    Some(Dependency { id: dependency["pkg"].as_str()?.to_owned(), in_product })
}

/// The name of this machine's platform, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host() -> Result<String, Failure> {
    let output = Command::new("rustc").arg("-vV").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new("`rustc -vV` names no host", "is rustc on the PATH?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_output_of_cargo_metadata_is_read() {
        let package = |name: &str| {
            json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT",
                   "manifest_path": format!("/w/{name}/Cargo.toml")})
        };
        let dependency = |name: &str, kinds: &[Option<&str>]| {
            let kinds: Vec<_> = kinds.iter().map(|kind| json!({"kind": kind})).collect();
            json!({"pkg": name, "dep_kinds": kinds})
        };
        let metadata = json!({
            "packages": [package("ours"), package("serde"), package("proptest"), package("cc")],
            "workspace_members": ["ours"],
            "resolve": {"nodes": [
                {"id": "ours", "deps": [
                    dependency("serde", &[None, Some("dev")]),
                    dependency("proptest", &[Some("dev")]),
                    dependency("cc", &[Some("build")]),
                ]},
                {"id": "serde", "deps": []}, {"id": "proptest", "deps": []}, {"id": "cc", "deps": []},
            ]},
        });
        let workspace = Workspace::read(&metadata).unwrap();
        let ours = workspace.our_crates().next().unwrap();
        let read: Vec<_> = ours.dependencies.iter().map(|used| (used.id.as_str(), used.in_product)).collect();
        assert_eq!(read, [("serde", true), ("proptest", false), ("cc", true)]);
        assert_eq!(ours.folder, Path::new("/w/ours"));
        assert!(Workspace::read(&json!({"packages": []})).is_none());
    }
}
