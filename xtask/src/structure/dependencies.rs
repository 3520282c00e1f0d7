//! The rule `dependencies`: the table of ARCHITECTURE.md, as data.

use super::Finding;
use crate::workspace::{Package, Workspace};

/// The crates of the workspace that one crate may use.
struct Allowed {
    name: &'static str,
    /// The crate itself may use these.
    product: &'static [&'static str],
    /// Its tests may use these too.
    tests: &'static [&'static str],
}

pub(super) const CORE: &str = "tidegate-core";
const PORTS: &str = "tidegate-ports";
const DRIVER: &str = "tidegate-driver";
const CONFORMANCE: &str = "tidegate-io-conformance";
const POSTGRES: &str = "tidegate-io-postgres";
const SQLITE: &str = "tidegate-io-sqlite";
const SIM: &str = "tidegate-io-sim";
const SCRIPT: &str = "tidegate-exec-script";
const DAEMON: &str = "tidegate";

/// A new crate needs a row here.
const TABLE: &[Allowed] = &[
    Allowed { name: CORE, product: &[], tests: &[] },
    Allowed { name: PORTS, product: &[CORE], tests: &[] },
    Allowed { name: DRIVER, product: &[CORE, PORTS], tests: &[] },
    Allowed { name: CONFORMANCE, product: &[CORE, PORTS], tests: &[] },
    Allowed { name: POSTGRES, product: &[CORE, PORTS], tests: &[CONFORMANCE, SIM, "testkit"] },
    Allowed { name: SQLITE, product: &[CORE, PORTS], tests: &[CONFORMANCE, SIM, "testkit"] },
    Allowed { name: SIM, product: &[CORE, PORTS], tests: &[CONFORMANCE] },
    Allowed { name: SCRIPT, product: &[CORE, PORTS], tests: &[] },
    Allowed { name: DAEMON, product: &[CORE, PORTS, DRIVER, POSTGRES, SQLITE, SCRIPT], tests: &[SIM, "testkit"] },
    Allowed { name: "tidegate-sim-tests", product: &[CORE, PORTS, DRIVER, SIM, CONFORMANCE], tests: &[] },
    Allowed {
        name: "tidegate-bench",
        product: &[CORE, PORTS, DRIVER, POSTGRES, SQLITE, SCRIPT, "testkit"],
        tests: &[],
    },
    Allowed { name: "testkit", product: &[], tests: &[] },
    Allowed { name: "tidegate-torture", product: &["testkit"], tests: &[] },
    Allowed { name: "xtask", product: &["testkit"], tests: &[] },
];

/// A crate from outside the workspace that only some crates may use.
struct Reserved {
    /// The name of a crate, or of a family of crates if it ends with `*`.
    name: &'static str,
    /// The crates that may use it.
    product: &'static [&'static str],
    /// The tests of these crates may use it too.
    tests: &'static [&'static str],
    reason: &'static str,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        name: "sqlx*",
        product: &[POSTGRES, "tidegate-bench"],
        tests: &[DAEMON],
        reason: "SQL belongs to the two SQL stores; the tests of the daemon create and inspect databases",
    },
    Reserved {
        name: "rusqlite",
        product: &[SQLITE, "tidegate-bench"],
        tests: &[],
        reason: "SQLite belongs to its store; the benchmark compares the store with a plain loop",
    },
    Reserved { name: "axum*", product: &[DAEMON], tests: &[], reason: "HTTP belongs to the daemon" },
    Reserved { name: "rquickjs*", product: &[SCRIPT], tests: &[], reason: "QuickJS belongs to the script executor" },
    Reserved {
        name: "anyhow",
        product: &[DAEMON, "xtask", "tidegate-bench", "tidegate-torture"],
        tests: &[CONFORMANCE, "tidegate-sim-tests"],
        reason: "the errors of a library are types that its caller can match",
    },
    Reserved {
        name: "tracing-subscriber",
        product: &[DAEMON],
        tests: &[DRIVER, POSTGRES, SQLITE, SCRIPT],
        reason: "only the program decides where the log goes",
    },
];

/// Crates that the core must not depend on, at any depth: they wait, do IO, read a clock or use OS
/// randomness.
const NOT_IN_CORE: &[&str] = &[
    "async-std",
    "axum*",
    "futures-executor",
    "getrandom",
    "hyper*",
    "iana-time-zone", // chrono depends on it only if its clock is switched on.
    "libsqlite3-sys",
    "mio",
    "notify",
    "rand",
    "reqwest",
    "rquickjs*",
    "rusqlite",
    "rustls*",
    "signal-hook*",
    "smol",
    "socket2",
    "sqlx*",
    "tokio*",
    "tracing-subscriber",
    "ureq*",
];

/// The dependencies that the tables forbid. `core_tree` lists all crates in the tree of the core.
pub(super) fn findings(workspace: &Workspace, core_tree: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in workspace.our_crates() {
        match TABLE.iter().find(|allowed| allowed.name == package.name) {
            Some(allowed) => findings.extend(ours(workspace, package, allowed)),
            None => findings
                .push(finding(package, "needs a row in the table of xtask/src/structure/dependencies.rs".into())),
        }
        findings.extend(reserved(workspace, package));
    }
    for name in core_tree.iter().filter(|name| NOT_IN_CORE.iter().any(|pattern| is_named(pattern, name))) {
        let message = format!("has `{name}` in its tree; the core does no IO");
        findings.push(Finding::new("dependencies", CORE, message));
    }
    findings
}

fn ours(workspace: &Workspace, package: &Package, allowed: &Allowed) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let used = &workspace.packages[&dependency.id];
        let is_ours = workspace.members.contains(&dependency.id);
        let in_tests = !dependency.in_product && allowed.tests.contains(&used.name.as_str());
        if is_ours && !in_tests && !allowed.product.contains(&used.name.as_str()) {
            findings.push(finding(package, format!("may not depend on `{}`", used.name)));
        }
    }
    findings
}

fn reserved(workspace: &Workspace, package: &Package) -> Vec<Finding> {
    let mut findings = Vec::new();
    for dependency in &package.dependencies {
        let used = &workspace.packages[&dependency.id].name;
        for reserved in RESERVED.iter().filter(|reserved| is_named(reserved.name, used)) {
            let in_tests = !dependency.in_product && reserved.tests.contains(&package.name.as_str());
            if !in_tests && !reserved.product.contains(&package.name.as_str()) {
                findings.push(finding(package, format!("may not depend on `{used}`: {}", reserved.reason)));
            }
        }
    }
    findings
}

fn finding(package: &Package, message: String) -> Finding {
    Finding::new("dependencies", &package.name, message)
}

fn is_named(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(family) => name == family || name.strip_prefix(family).is_some_and(|rest| rest.starts_with('-')),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;
    use std::collections::BTreeMap;

    /// A workspace of the crates `ours`. Each depends on a list of `(crate, in_product)`. Crates
    /// from outside the workspace are added.
    fn workspace(ours: &[(&str, &[(&str, bool)])]) -> Workspace {
        let package = |name: &str| Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            licence: None,
            folder: name.into(),
            dependencies: Vec::new(),
        };
        let mut packages = BTreeMap::new();
        for (name, dependencies) in ours {
            packages.entry((*name).to_owned()).or_insert_with(|| package(name));
            for (used, _) in *dependencies {
                packages.entry((*used).to_owned()).or_insert_with(|| package(used));
            }
            packages.get_mut(*name).unwrap().dependencies =
                dependencies.iter().map(|&(id, in_product)| Dependency { id: id.to_owned(), in_product }).collect();
        }
        Workspace { packages, members: ours.iter().map(|(name, _)| (*name).to_owned()).collect() }
    }

    fn lines(ours: &[(&str, &[(&str, bool)])]) -> Vec<String> {
        findings(&workspace(ours), &["serde".to_owned()]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_dependencies_give_no_finding() {
        let none = Vec::<String>::new();
        let core: (&str, &[_]) = (CORE, &[("serde", true), ("proptest", false)]);
        let conformance: (&str, &[_]) = (CONFORMANCE, &[]);
        let testkit: (&str, &[_]) = ("testkit", &[]);
        assert_eq!(
            lines(&[core, (POSTGRES, &[(CORE, true), ("sqlx", true), (CONFORMANCE, false)]), conformance]),
            none
        );
        assert_eq!(lines(&[(DAEMON, &[("axum", true), ("sqlx", false), ("testkit", false)]), testkit]), none);
    }

    #[test]
    fn forbidden_dependencies_are_found() {
        let check = |ours: &[(&str, &[(&str, bool)])], expected: &str| {
            let found = lines(ours);
            assert!(found.iter().any(|line| line.contains(expected)), "{expected}: {found:?}");
        };
        check(
            &[(POSTGRES, &[(SQLITE, true)]), (SQLITE, &[])],
            "tidegate-io-postgres: may not depend on `tidegate-io-sqlite`",
        );
        check(&[(DRIVER, &[(DAEMON, false)]), (DAEMON, &[])], "tidegate-driver: may not depend on `tidegate`");
        check(&[(POSTGRES, &[(CONFORMANCE, true)]), (CONFORMANCE, &[])], "may not depend on `tidegate-io-conformance`");
        check(&[(DAEMON, &[("sqlx-core", true)])], "tidegate: may not depend on `sqlx-core`: SQL belongs");
        check(&[(DRIVER, &[("anyhow", false)])], "tidegate-driver: may not depend on `anyhow`");
        check(&[("novelty", &[])], "novelty: needs a row in the table");
    }

    #[test]
    fn the_core_depends_on_no_crate_that_does_io() {
        let tree = ["serde", "tokio-util", "getrandom", "rand_chacha"].map(str::to_owned);
        let found: Vec<String> = findings(&workspace(&[]), &tree).iter().map(ToString::to_string).collect();
        let line = |name: &str| format!("tidegate-core: has `{name}` in its tree; the core does no IO [dependencies]");
        assert_eq!(found, [line("tokio-util"), line("getrandom")]);
    }

    #[test]
    fn a_family_contains_its_head_and_crates_with_its_prefix() {
        for (pattern, name, expected) in [
            ("sqlx*", "sqlx", true),
            ("sqlx*", "sqlx-core", true),
            ("mio", "mio-extras", false),
            ("rand", "rand_core", false),
        ] {
            assert_eq!(is_named(pattern, name), expected, "{pattern} {name}");
        }
    }
}
