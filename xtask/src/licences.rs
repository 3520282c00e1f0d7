//! Checks that each crate of the build has a licence that `deny.toml` allows. cargo-deny reads the
//! same list; this check also runs where cargo-deny is not installed.

use crate::steps::{Failure, StepResult};
use crate::workspace::{Workspace, cargo, root, run};
use spdx::{Expression, Licensee, ParseMode};

/// Checks the licences, and runs cargo-deny where it is installed.
pub(crate) fn check(workspace: &Workspace) -> StepResult {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::new(format!("deny.toml: {error}"), ADVICE))?;
    let allowed = allowed(&text).map_err(|problem| Failure::new(problem, ADVICE))?;
    let mut bad = Vec::new();
    for package in workspace.packages.values() {
        match package.licence.as_deref() {
            Some(licence) if is_allowed(licence, &allowed) => {}
            licence => bad.push(format!("{} {}: {}", package.name, package.version, licence.unwrap_or("no licence"))),
        }
    }
    if !bad.is_empty() {
        return Err(Failure::new(format!("crates without an allowed licence:\n  {}", bad.join("\n  ")), ADVICE));
    }
    let checked = format!("{} crates under {} allowed licences", workspace.packages.len(), allowed.len());
    let installed = cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !installed {
        return Ok(format!("{checked}; cargo-deny is not installed, so its other checks did not run"));
    }
    run(cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]), ADVICE)?;
    Ok(format!("{checked}; cargo-deny agrees"))
}

const ADVICE: &str = "use another crate, or add its licence to deny.toml if users of Tidegate can accept it";

fn allowed(deny_toml: &str) -> Result<Vec<Licensee>, String> {
    let table: toml::Table = deny_toml.parse().map_err(|error| format!("deny.toml: {error}"))?;
    let list = table.get("licenses").and_then(|section| section.get("allow")).and_then(toml::Value::as_array);
    let list = list.ok_or("deny.toml has no list licenses.allow")?;
    let names = list.iter().filter_map(toml::Value::as_str);
    names.map(|name| Licensee::parse(name).map_err(|error| format!("deny.toml: {name}: {error}"))).collect()
}

/// True if the licences in `allowed` satisfy an SPDX expression. Old manifests write `/` for `OR`.
fn is_allowed(expression: &str, allowed: &[Licensee]) -> bool {
    let expression = Expression::parse_mode(expression, ParseMode::LAX);
    expression.is_ok_and(|parsed| parsed.evaluate(|needed| allowed.iter().any(|licence| licence.satisfies(needed))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_licences_satisfy_an_expression() {
        let allowed = ["MIT", "Apache-2.0", "Unicode-3.0"].map(|name| Licensee::parse(name).unwrap());
        for (expression, expected) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
            ("MIT OR GPL-3.0 AND BSD-3-Clause", true),
            ("(MIT OR Apache-2.0) AND BSD-3-Clause", false),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("(MIT", false),
            ("MIT MIT", false),
            ("", false),
        ] {
            assert_eq!(is_allowed(expression, &allowed), expected, "{expression}");
        }
    }

    #[test]
    fn the_list_comes_from_the_file_of_cargo_deny() {
        let listed = allowed("[licenses]\nallow = [\"MIT\", \"Apache-2.0 WITH LLVM-exception\"]\n").unwrap();
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception AND MIT", &listed));
        assert!(!is_allowed("Apache-2.0", &listed));
        assert!(allowed("[licences]\nallow = []\n").is_err());
        assert!(allowed("[licenses]\nallow = [\"no licence\"]\n").is_err());
    }
}
