//! The report as the page `RESULTS.md`.

use super::Report;
use crate::findings::Findings;
use crate::harness::SETTINGS;
use crate::scenarios::Scenario;
use crate::targets::{TARGETS, Target, Verdict};
use std::fmt::Write as _;

/// The page as Markdown.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut page = String::new();
    head(&mut page, report);
    targets(&mut page, report);
    for findings in &report.findings {
        scenario(&mut page, findings);
    }
    for failed in &report.failed {
        line(&mut page, &format!("## {}\n\nNot measured: {}\n", failed.scenario, failed.why));
    }
    line(&mut page, CAVEATS);
    page.push_str(REPRODUCE);
    page
}

const CAVEATS: &str = "\
## Limits of these figures

* The ratios are similar on other machines; the absolute numbers are not. Each limit is measured
  right before or after its figure, and a ratio compares samples of the same repeat, so that a slow
  phase of the machine affects both.
* The load generator runs on the same cores as the daemon and the database. Each scenario lists the
  programs that share them. With more cores all figures are better, and the ratios to a limit with
  one client differ.
* Commits are durable: an answered commit is on the disk, if the disk reports flushes correctly. A
  virtual disk may flush faster than a real one. Single commits are then faster, and every ratio to
  them is smaller.
* The raw loops do less than a queue: they have no retries, dead letters, limits or permissions,
  and fewer columns. They show the limit of the database and are not meant for production.
* The handlers do nothing. The time of a real handler comes on top.
";

const REPRODUCE: &str = "\
## Reproduce

```sh
cargo xtask bench                   # all scenarios, and this page; use an idle machine
cargo xtask bench --quick           # within five minutes: shows that the benchmark works
cargo xtask bench drain-postgres    # one scenario; --list names them
cargo xtask bench --json all.json   # keeps every sample
```

The benchmark needs Rust, a C compiler and the server programs of Postgres, as the tests do. It
uses a throw-away server on 127.0.0.1 and SQLite files in a temporary folder on a disk, and removes
both at its end.
";

fn head(page: &mut String, report: &Report) {
    let machine = &report.machine;
    line(page, "# Benchmark results\n");
    line(page, "<!-- Written by `cargo xtask bench`. Edit bench/src/report/markdown.rs instead. -->\n");
    if report.quick {
        line(page, "> **A quick run**: it only shows that the benchmark works. Do not quote its figures.\n");
    }
    if machine.was_busy() {
        line(
            page,
            "> **The machine had other work** when the run began: other programs kept its cores busy. Do not quote its figures.\n",
        );
    }
    line(page, "![each target and its measurement](results.svg)\n");
    line(page, "| | |\n|---|---|");
    let times = if report.repeats == 1 { "once".to_owned() } else { format!("{} times", report.repeats) };
    let settings: Vec<_> = SETTINGS.iter().map(|(name, value)| format!("`{name} = {value}`")).collect();
    for (name, value) in [
        (
            "measured",
            format!("{}, Tidegate {} at `{}`, each figure at least {times}", report.day, report.version, report.commit),
        ),
        ("machine", format!("{}, {} cores, {} MiB", machine.cpu, machine.cores, machine.memory_mib)),
        ("system", format!("{}; {}", machine.kernel, machine.disk)),
        ("versions", format!("{}; {}; SQLite {}", machine.rustc, machine.postgres, machine.sqlite)),
        ("Postgres", format!("defaults, except {}", settings.join(", "))),
        ("SQLite", "`journal_mode = wal`, `synchronous = full`, a cache of 16 MiB".to_owned()),
        ("load of the machine", format!("{} before, {} after", machine.load.0, machine.load.1)),
    ] {
        line(page, &format!("| {name} | {value} |"));
    }
    line(page, "\nThe tables show the median of the repeats, the smallest sample and the largest sample.\n");
}

fn targets(page: &mut String, report: &Report) {
    line(page, "## Targets\n");
    line(page, "| | median | smallest – largest | target | |\n|---|--:|--:|--:|---|");
    for target in TARGETS {
        let verdict = target.judge(&report.findings);
        let measured = measured(target, report).unwrap_or_else(|| " | ".to_owned());
        let state = match verdict {
            Verdict::Missed { .. } => format!("**{}**", target.describe(verdict)),
            Verdict::Met { .. } | Verdict::NotMeasured => target.describe(verdict),
        };
        line(page, &format!("| {} | {measured} | {} | {state} |", target.label, target.bound.show(target.unit)));
    }
    line(page, "");
}

fn measured(target: &Target, report: &Report) -> Option<String> {
    let findings = report.findings.iter().find(|findings| findings.scenario == target.scenario)?;
    let summary = findings.summary(target.series)?;
    Some(format!("{} | {}", target.unit.show(summary.median), target.unit.spread(&summary)))
}

fn scenario(page: &mut String, findings: &Findings) {
    line(page, &format!("## {}\n", findings.scenario));
    if let Some(scenario) = Scenario::named(&findings.scenario) {
        line(page, &format!("{}.\n", capitalized(scenario.about)));
    }
    line(page, "| | median | smallest – largest |\n|---|--:|--:|");
    for series in &findings.series {
        let Some(summary) = findings.summary(&series.name) else { continue };
        let (median, spread) = (series.unit.show(summary.median), series.unit.spread(&summary));
        line(page, &format!("| {} | {median} | {spread} |", series.name));
    }
    line(page, "");
    for note in &findings.notes {
        line(page, &format!("* {note}"));
    }
    if !findings.notes.is_empty() {
        line(page, "");
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn line(page: &mut String, text: &str) {
    writeln!(page, "{text}").expect("writing to a String never fails");
}
