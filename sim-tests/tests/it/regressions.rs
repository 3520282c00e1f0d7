//! Plans that failed in the past.

use tidegate_sim_tests::{Plan, TraceMode, run};

#[test]
fn fixed_bugs_stay_fixed() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/regressions");
    let mut played = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is in the repository") {
        let path = entry.expect("it can be read").path();
        let text = std::fs::read_to_string(&path).expect("a plan is text");
        let plan: Plan = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let outcome = run(&plan, TraceMode::Timeline);
        let timeline = outcome.timeline.join("\n");
        assert_eq!(outcome.violation, None, "{}\n{timeline}", path.display());
        played += 1;
    }
    assert!(played > 0, "no plan was found in {folder}");
}
