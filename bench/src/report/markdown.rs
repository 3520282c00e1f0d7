//! The page `RESULTS.md`.

use super::Report;
use crate::findings::Findings;
use crate::harness::SETTINGS;
use crate::scenarios::Scenario;
use crate::targets::{TARGETS, Target, Verdict};
use std::fmt::Write as _;

/// The whole page.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut page = String::new();
    head(&mut page, report);
    targets(&mut page, report);
    for findings in &report.findings {
        scenario(&mut page, findings);
    }
    for failed in &report.failed {
        say(&mut page, &format!("## {}\n\nNot measured: {}\n", failed.scenario, failed.why));
    }
    say(&mut page, CAVEATS);
    page.push_str(REPRODUCE);
    page
}

const CAVEATS: &str = "\
## What to keep in mind

* Ratios hold from machine to machine; the numbers do not. A limit is measured right beside each figure so that both see
  the same machine in the same mood: the spread of each is shown, and a ratio is taken repeat by repeat.
* Whoever makes the load runs on the same cores as the daemon and the database. Each scenario says what shares them. On a
  machine with cores to spare all figures are better, and the ratios to a limit with one client are other ones.
* Commits are durable: a commit that was answered is on the disk, as far as the disk tells the truth. On a virtual disk a
  flush may be cheaper than on a real one, which makes single commits faster and every ratio to them smaller.
* The raw loops do less than a queue must: no retries, no dead letters, no limits, no permissions, fewer columns. They are
  there to say what the database could do, not what anybody should run.
* Handlers do nothing. Yours do something, and then that is what takes the time.
";

const REPRODUCE: &str = "\
## How to measure it yourself

```sh
cargo xtask bench                   # everything, and this page; on a machine that has nothing else to do
cargo xtask bench --quick           # within five minutes: shows that it works
cargo xtask bench drain-postgres    # one scenario; --list names them
cargo xtask bench --json all.json   # keeps every sample
```

It needs what the tests need: Rust, a C compiler and the server programs of Postgres. The server is a throw-away one on
127.0.0.1, the SQLite files lie in a temporary folder on a disk, and all of it is removed at the end.
";

fn head(page: &mut String, report: &Report) {
    let machine = &report.machine;
    say(page, "# How fast\n");
    say(page, "<!-- Written by `cargo xtask bench`. Edit bench/src/report/markdown.rs instead. -->\n");
    if report.quick {
        say(page, "> **A quick run**: less was measured, to show that it works. Not for quoting.\n");
    }
    if machine.was_busy() {
        say(page, "> **The machine had other work** when this began: others kept its cores busy. Not for quoting.\n");
    }
    say(page, "![each target and what was measured](results.svg)\n");
    say(page, "| | |\n|---|---|");
    let times = if report.repeats == 1 { "once".to_owned() } else { format!("{} times", report.repeats) };
    let settings: Vec<_> = SETTINGS.iter().map(|(name, value)| format!("`{name} = {value}`")).collect();
    for (name, value) in [
        (
            "measured",
            format!("{}, Tidegate {} at `{}`, each figure {times} or more", report.day, report.version, report.commit),
        ),
        ("machine", format!("{}, {} cores, {} MiB", machine.cpu, machine.cores, machine.memory_mib)),
        ("system", format!("{}; {}", machine.kernel, machine.disk)),
        ("versions", format!("{}; {}; SQLite {}", machine.rustc, machine.postgres, machine.sqlite)),
        ("Postgres", format!("its defaults, but {}", settings.join(", "))),
        ("SQLite", "`journal_mode = wal`, `synchronous = full`, a cache of 16 MiB".to_owned()),
        ("load of the machine", format!("{} before, {} after", machine.load.0, machine.load.1)),
    ] {
        say(page, &format!("| {name} | {value} |"));
    }
    say(page, "\nOf each series: the median of its repeats, and the least and the greatest.\n");
}

fn targets(page: &mut String, report: &Report) {
    say(page, "## Targets\n");
    say(page, "| | median | least – greatest | target | |\n|---|--:|--:|--:|---|");
    for target in TARGETS {
        let verdict = target.judge(&report.findings);
        let measured = measured(target, report).unwrap_or_else(|| " | ".to_owned());
        let says = match verdict {
            Verdict::Missed { .. } => format!("**{}**", target.says(verdict)),
            Verdict::Met { .. } | Verdict::NotMeasured => target.says(verdict),
        };
        say(page, &format!("| {} | {measured} | {} | {says} |", target.what, target.bound.show(target.unit)));
    }
    say(page, "");
}

fn measured(target: &Target, report: &Report) -> Option<String> {
    let findings = report.findings.iter().find(|findings| findings.scenario == target.scenario)?;
    let summary = findings.summary(target.series)?;
    Some(format!("{} | {}", target.unit.show(summary.median), target.unit.spread(&summary)))
}

fn scenario(page: &mut String, findings: &Findings) {
    say(page, &format!("## {}\n", findings.scenario));
    if let Some(scenario) = Scenario::named(&findings.scenario) {
        say(page, &format!("{}.\n", capitalized(scenario.about)));
    }
    say(page, "| | median | least – greatest |\n|---|--:|--:|");
    for series in &findings.series {
        let Some(summary) = findings.summary(&series.name) else { continue };
        let (median, spread) = (series.unit.show(summary.median), series.unit.spread(&summary));
        say(page, &format!("| {} | {median} | {spread} |", series.name));
    }
    say(page, "");
    for note in &findings.notes {
        say(page, &format!("* {note}"));
    }
    if !findings.notes.is_empty() {
        say(page, "");
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn say(page: &mut String, line: &str) {
    writeln!(page, "{line}").expect("a String takes every write");
}
