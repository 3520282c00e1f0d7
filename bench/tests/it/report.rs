//! Reports are made from samples only: of this run, or of the JSON of an earlier one.

use tidegate_bench::{
    FailedScenario, Findings, Machine, Report, Scenario, TARGETS, Unit, Verdict, markdown, svg, text,
};

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

/// Three repeats of a scenario that meets its target and of one that misses it, and a scenario that
/// failed.
fn report() -> Report {
    let mut findings = Vec::new();
    for (scenario, rates) in [("drain-postgres", [80e3, 90e3, 85e3]), ("drain-sqlite", [30e3, 32e3, 31e3])] {
        let mut found = Findings { scenario: scenario.to_owned(), took_s: 12.0, ..Findings::default() };
        for rate in rates {
            found.add("drain", Unit::PerSecond, rate);
            found.add("raw loop, faster batch size", Unit::PerSecond, 100e3);
        }
        found.add_ratio("part of the raw loop", "drain", "raw loop, faster batch size");
        found.pair("drain", "raw loop, faster batch size");
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
        failed: vec![FailedScenario { scenario: "wal".to_owned(), why: "no server".to_owned() }],
    }
}

#[test]
fn a_report_from_json_is_the_same() {
    let report = report();
    let json = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&json).unwrap();
    assert_eq!(markdown(&again), markdown(&report));
    assert_eq!(svg(&again), svg(&report));
}

#[test]
fn every_target_has_a_row_with_its_state() {
    let page = markdown(&report());
    for target in TARGETS {
        assert!(page.contains(&format!("| {} |", target.label)), "{}", target.label);
    }
    assert!(
        page.contains("| drain, Postgres: part of the raw loop | 0.85 × | 0.80 × – 0.90 × | ≥ 0.60 × | met |"),
        "{page}"
    );
    assert!(page.contains("| 0.31 × | 0.30 × – 0.32 × | ≥ 0.75 × | **missed by 0.44 × (59 %)** |"), "{page}");
    assert!(page.contains("not measured |"), "{page}");
    assert!(page.contains("## wal\n\nNot measured: no server"), "{page}");
    assert!(page.contains("| drain | 85,000/s | 80,000/s – 90,000/s |"), "{page}");
}

#[test]
fn every_report_warns_of_a_busy_machine_or_a_quick_run() {
    let contain = |report: &Report, text_part: &str| {
        [markdown(report), svg(report), text(report)].map(|out| out.contains(text_part))
    };
    let quiet = report();
    assert_eq!(contain(&quiet, "other work"), [false; 3]);
    assert_eq!(contain(&quiet, "quote"), [false; 3]);
    let mut busy = report();
    busy.machine.load.0 = "1.50".to_owned();
    assert_eq!(contain(&busy, "other work"), [true; 3]);
    let quick = Report { quick: true, ..report() };
    assert_eq!(contain(&quick, "quote"), [true; 3]);
}

#[test]
fn the_text_shows_the_spread_and_the_verdict() {
    let text = text(&report());
    assert!(text.contains("80,000/s – 90,000/s"), "{text}");
    assert!(text.contains("wal failed: no server"), "{text}");
    assert!(text.contains("missed by 0.44 ×"), "{text}");
}

#[test]
fn the_picture_is_well_formed_and_has_both_themes() {
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
fn the_last_run_counts_when_runs_are_joined() {
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
fn a_target_names_a_scenario_and_is_judged_by_its_median() {
    for target in TARGETS {
        assert!(Scenario::named(target.scenario).is_some(), "{}", target.scenario);
    }
    assert_eq!(TARGETS[0].judge(&report().findings), Verdict::Met { median: 0.85 });
    assert_eq!(TARGETS[0].judge(&[]), Verdict::NotMeasured);
}
