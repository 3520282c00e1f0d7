//! Whether everything we build is under a licence that `deny.toml` allows. The same list that cargo-deny reads, so that
//! the check runs also where that tool is not installed.

use crate::steps::{Failure, StepResult};
use crate::workspace::{Workspace, cargo, root, run};
use std::collections::BTreeSet;

/// The step: our own check, and cargo-deny's where it is installed.
pub(crate) fn check(workspace: &Workspace) -> StepResult {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::new(format!("deny.toml: {error}"), ADVICE))?;
    let allowed = allowed(&text).map_err(|what| Failure::new(what, ADVICE))?;
    let mut bad = Vec::new();
    for package in workspace.packages.values() {
        match package.licence.as_deref() {
            Some(licence) if is_allowed(licence, &allowed) => {}
            licence => bad.push(format!("{} {}: {}", package.name, package.version, licence.unwrap_or("no licence"))),
        }
    }
    if !bad.is_empty() {
        return Err(Failure::new(format!("not under a licence that we allow:\n  {}", bad.join("\n  ")), ADVICE));
    }
    let ours = format!("{} crates under {} allowed licences", workspace.packages.len(), allowed.len());
    let installed = cargo().args(["deny", "--version"]).output().is_ok_and(|output| output.status.success());
    if !installed {
        return Ok(format!("{ours}; cargo-deny is not installed, its other checks did not run"));
    }
    run(cargo().args(["deny", "--offline", "check", "licenses", "bans", "sources"]), ADVICE)?;
    Ok(format!("{ours}; cargo-deny agrees"))
}

const ADVICE: &str = "use another crate, or add its licence to deny.toml if our users can live with it";

fn allowed(deny_toml: &str) -> Result<BTreeSet<String>, String> {
    let table: toml::Table = deny_toml.parse().map_err(|error| format!("deny.toml: {error}"))?;
    let list = table.get("licenses").and_then(|section| section.get("allow")).and_then(toml::Value::as_array);
    let list = list.ok_or("deny.toml has no list licenses.allow")?;
    Ok(list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be met with `allowed` alone. Its grammar: `OR` binds less than `AND`, `WITH` belongs to
/// its licence, and an old `/` means `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = either(&mut words, allowed);
    met == Some(true) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = both(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words, allowed)?;
    }
    Some(met)
}

fn both(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    let mut met = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed)?;
    }
    Some(met)
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> Option<bool> {
    if words.next_if_eq(&"(").is_some() {
        let met = either(words, allowed)?;
        return words.next_if_eq(&")").map(|_| met);
    }
    let mut licence = words.next()?.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next()?);
    }
    Some(allowed.contains(&licence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_met_by_what_is_allowed_alone() {
        let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Unicode-3.0"].map(str::to_owned));
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
    fn the_list_is_read_from_where_cargo_deny_reads_it() {
        let listed = allowed("[licenses]\nallow = [\"MIT\", \"ISC\"]\n").unwrap();
        assert_eq!(listed, BTreeSet::from(["ISC", "MIT"].map(str::to_owned)));
        assert!(allowed("[licences]\nallow = []\n").is_err());
    }
}
