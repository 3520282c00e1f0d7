//! Patterns of names and of paths, against slower rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::{Pattern, RoutePath};

/// Whether the pattern matches, character by character.
fn matches(pattern: &[char], text: &[char]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for token in pattern {
        let mut next = vec![false; text.len() + 1];
        let mut any = false;
        for at in 0..=text.len() {
            any |= reached[at];
            if *token == '*' {
                next[at] = any;
            } else if at > 0 {
                next[at] = reached[at - 1] && text[at - 1] == *token;
            }
        }
        reached = next;
    }
    reached[text.len()]
}

fuzz_target!(|input: (&str, &str)| {
    let (rule, text) = input;
    if let Ok(pattern) = Pattern::new(rule) {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(pattern.matches(text), matches(&chars(rule), &chars(text)), "{rule:?} on {text:?}");
    }
    if let Ok(path) = RoutePath::new(rule) {
        let segments: Vec<String> = text.split('/').map(str::to_owned).collect();
        if let Some(params) = path.params(&segments) {
            assert!(params.len() <= segments.len());
        }
    }
});
