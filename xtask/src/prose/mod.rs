//! The prose of the repository: comments, docs and messages, as data.
//!
//! The rule `plain-words` of the structure check reads it, and `cargo xtask prose` prints its
//! figures.

mod comments;
mod figures;
mod files;
mod markdown;
mod passage;
mod passages;
mod phrases;

pub(crate) use figures::{Figures, SHORT_DOC_WORDS};
pub(crate) use files::{ProseFile, read};
pub(crate) use markdown::{prose_lines, without_targets};
pub(crate) use passage::{Kind, Passage};
pub(crate) use phrases::banned;

use crate::steps::Failure;
use std::collections::BTreeMap;

/// Options of `cargo xtask prose`.
#[derive(Debug, clap::Args)]
pub(crate) struct ProseArgs {
    /// Prints the figures of each crate and folder too.
    #[arg(long)]
    by_crate: bool,
    /// Prints each counted line.
    #[arg(long)]
    list: bool,
    /// Path prefixes of the files to count. All files are counted if it is empty.
    paths: Vec<String>,
}

/// Prints the prose figures. It never fails because of them; the structure check does.
pub(crate) fn run(args: &ProseArgs) -> Result<(), Failure> {
    let files = read().map_err(|error| Failure::new(error.to_string(), READ_ADVICE))?;
    let mut whole = Figures::default();
    let mut groups = BTreeMap::<&str, Figures>::new();
    let is_chosen =
        |file: &&ProseFile| args.paths.is_empty() || args.paths.iter().any(|path| file.path.starts_with(path));
    for file in files.iter().filter(is_chosen) {
        let figures = Figures::of(file);
        if args.list {
            figures.hits.iter().for_each(|hit| println!("{hit}"));
        }
        groups.entry(file.group()).or_default().add(&figures);
        whole.add(&figures);
    }
    if args.by_crate {
        groups.iter().for_each(|(group, figures)| println!("{group:<16} {figures}"));
    }
    println!("{:<16} {whole}", "whole");
    Ok(())
}

const READ_ADVICE: &str = "run it in a git checkout; `git ls-files` lists the files";
