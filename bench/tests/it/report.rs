//! The report is made from samples alone: those of a run, or those that an earlier one wrote.

use tidegate_bench::{Failed, Findings, Machine, Report, Scenario, TARGETS, Unit, Verdict, markdown, svg, text};

fn machine() -> Machine {
    Machine {
        cpu: "A Processor <&> @ 2 GHz".to_owned(),
        cores: 2,
        memory_mib: 7_952,
        kernel: "Linux 6".to_owned(),
        disk: "ext4 on /dev/vda".to_owned(),
        rustc: "rustc 1.95.0".to_owned(),
        postgres: "postgres (PostgreSQL) 17.2".to_owned(),
        sqlite: "3.50.0".to_owned(),
        load: ("0.10".to_owned(), "2.05".to_owned()),
    }
}

/// Three repeats of one scenario that reaches its target, of one that does not, and one that could not be measured.
fn report() -> Report {
    let mut findings = Vec::new();
    for (scenario, drained) in [("drain-postgres", [80e3, 90e3, 85e3]), ("drain-sqlite", [30e3, 32e3, 31e3])] {
        let mut found = Findings { scenario: scenario.to_owned(), took_s: 12.0, ..Findings::default() };
        for rate in drained {
            found.add("drain", Unit::PerSecond, rate);
            found.add("raw loop, its better batch", Unit::PerSecond, 100e3);
        }
        found.add_ratio("part of the raw loop", "drain", "raw loop, its better batch");
        found.pair("drain", "raw loop, its better batch");
        found.note("A note.");
        findings.push(found);
    }
    Report {
        version: "0.1.0".to_owned(),
        commit: "abc".to_owned(),
        day: "2026-11-25".to_owned(),
        quick: false,
        repeats: 3,
        machine: machine(),
        findings,
        failed: vec![Failed { scenario: "wal".to_owned(), why: "no server".to_owned() }],
    }
}

#[test]
fn what_was_written_as_json_gives_the_same_report() {
    let report = report();
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(markdown(&again), markdown(&report));
    assert_eq!(svg(&again), svg(&report));
}

#[test]
fn every_target_has_its_row_and_says_how_it_stands() {
    let page = markdown(&report());
    for target in TARGETS {
        assert!(page.contains(&format!("| {} |", target.what)), "{}", target.what);
    }
    assert!(
        page.contains("| drain, Postgres: part of the raw loop | 0.85 × | 0.80 × – 0.90 × | ≥ 0.75 × | met |"),
        "{page}"
    );
    assert!(page.contains("| 0.31 × | 0.30 × – 0.32 × | ≥ 0.75 × | **missed by 0.44 × (59 %)** |"), "{page}");
    assert!(page.contains("not measured |"), "{page}");
    assert!(page.contains("## wal\n\nNot measured: no server"), "{page}");
    assert!(page.contains("| drain | 85,000/s | 80,000/s – 90,000/s |"), "{page}");
}

#[test]
fn a_busy_machine_and_a_quick_run_are_owned_up_to() {
    let says =
        |report: &Report, what: &str| [markdown(report), svg(report), text(report)].map(|out| out.contains(what));
    let quiet = report();
    assert_eq!(says(&quiet, "other work"), [false; 3]);
    assert_eq!(says(&quiet, "quick run, not"), [false; 3]);
    let mut busy = report();
    busy.machine.load.0 = "1.50".to_owned();
    assert_eq!(says(&busy, "other work"), [true; 3]);
    let quick = Report { quick: true, ..report() };
    assert_eq!(says(&quick, "quoting"), [true; 3]);
}

#[test]
fn the_text_shows_spread_and_verdict() {
    let text = text(&report());
    assert!(text.contains("80,000/s – 90,000/s"), "{text}");
    assert!(text.contains("wal failed: no server"), "{text}");
    assert!(text.contains("missed by 0.44 ×"), "{text}");
}

#[test]
fn the_picture_is_well_formed_and_follows_light_and_dark() {
    let picture = svg(&report());
    assert!(picture.contains("prefers-color-scheme: dark"));
    assert!(picture.contains("A Processor &lt;&amp;&gt;"), "names are escaped");
    for element in ["svg", "style", "text"] {
        let (open, close) =
            (picture.matches(&format!("<{element}")).count(), picture.matches(&format!("</{element}>")).count());
        assert_eq!(open, close, "{element}");
    }
    assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
}

#[test]
fn runs_are_joined_and_the_last_word_counts() {
    let first = report();
    let mut second = report();
    second.findings.retain(|found| found.scenario == "drain-sqlite");
    second.findings[0].series[0].samples = vec![77e3];
    second.failed.clear();
    let joined = Report::join(vec![first, second]).unwrap();
    let scenarios: Vec<_> = joined.findings.iter().map(|found| found.scenario.as_str()).collect();
    assert_eq!(scenarios, ["drain-postgres", "drain-sqlite"]);
    assert_eq!(joined.findings[1].series[0].samples, [77e3]);

    let mut elsewhere = report();
    elsewhere.machine.cpu = "another".to_owned();
    assert!(Report::join(vec![report(), elsewhere]).is_err());
    assert!(Report::join(vec![]).is_err());
}

#[test]
fn the_targets_are_of_scenarios_and_judged_by_their_median() {
    for target in TARGETS {
        assert!(Scenario::named(target.scenario).is_some(), "{}", target.scenario);
    }
    assert_eq!(TARGETS[0].judge(&report().findings), Verdict::Met { median: 0.85 });
    assert_eq!(TARGETS[0].judge(&[]), Verdict::NotMeasured);
}
