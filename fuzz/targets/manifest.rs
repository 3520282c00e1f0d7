//! `tidegate.toml`: each text is an app or has problems with a place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(problems) = tidegate::fuzzing::parse_manifest(text) {
        assert!(!problems.is_empty(), "a refused manifest has a problem");
        assert!(problems.iter().all(|problem| problem.starts_with("line ")), "{problems:?}");
    }
});
