//! Rules for triggers that a deployment must keep. They refuse triggers that are valid but could
//! never have the effect that their author expects.
//!
//! The manifest and the HTTP API both check them. A stored trigger may break them: the rules of an
//! earlier version were fewer, and a schedule can end.

use crate::config::did_you_mean;
use tidegate_core::{Handler, Isolation, Match, Pattern, RetryPolicy, Timestamp, TriggerSpec};

/// A rule that a trigger breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BrokenRule {
    /// The field of the trigger, as in a manifest.
    pub(crate) field: &'static str,
    pub(crate) message: String,
}

impl BrokenRule {
    fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}

/// The rules that the trigger breaks by itself. `now` decides whether a schedule has ended.
pub(crate) fn check(spec: &TriggerSpec, now: Timestamp) -> Vec<BrokenRule> {
    let mut broken = match &spec.rule {
        Match::Kv { collection, key, .. } => {
            [check_name("collection", collection), check_text("key", key)].into_iter().flatten().collect()
        }
        Match::App { event_type, subject } => {
            [check_text("type", event_type), check_text("subject", subject)].into_iter().flatten().collect()
        }
        Match::DeadLetter { trigger } => Vec::from_iter(check_name("trigger", trigger)),
        Match::Http { path, .. } => Vec::from_iter(path.foreign_parameter().map(|segment| {
            let message = format!("the segment {segment:?} would match only itself; write {{name}} for one segment, or {{name...}} for the rest");
            BrokenRule::new("path", message)
        })),
        Match::Cron { expression, time_zone } if expression.next_after(now, *time_zone).is_none() => {
            vec![BrokenRule::new("expression", format!("the schedule {:?} is over; it never ticks again", expression.as_str()))]
        }
        Match::Cron { .. } => Vec::new(),
    };
    if runs_once(&spec.rule) && spec.retry != RetryPolicy::default() {
        broken.push(no_retry(&spec.rule));
    }
    if spec.isolation != Isolation::default() && !matches!(spec.handler, Handler::Script(_)) {
        broken.push(BrokenRule::new("isolation", "only a trigger with a script has an isolation"));
    }
    broken
}

/// The rules that the triggers of an app break together, each with the index of its trigger.
pub(crate) fn check_together(specs: &[&TriggerSpec]) -> Vec<(usize, BrokenRule)> {
    let mut broken = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        match &spec.rule {
            Match::DeadLetter { trigger } => broken.extend(check_target(trigger, specs).map(|rule| (index, rule))),
            Match::Http { .. } if spec.enabled => {
                let other = specs[..index].iter().find(|other| other.enabled && have_same_route(spec, other));
                broken.extend(other.map(|other| {
                    let message = format!("the trigger {:?} has the same method and path", other.name.as_str());
                    (index, BrokenRule::new("path", message))
                }));
            }
            _ => {}
        }
    }
    broken
}

/// Whether the handler runs once for each event, so that a retry policy has no effect.
pub(crate) const fn runs_once(rule: &Match) -> bool {
    matches!(rule, Match::Http { .. } | Match::DeadLetter { .. })
}

pub(crate) fn no_retry(rule: &Match) -> BrokenRule {
    let source = rule.source();
    BrokenRule::new(
        "retry",
        format!("a trigger of the source {:?} is never retried; leave the retry out", source.to_string()),
    )
}

/// Checks a pattern on a text in which nearly all characters may occur.
fn check_text(field: &'static str, pattern: &Pattern) -> Option<BrokenRule> {
    let part = pattern.foreign_syntax()?;
    let message = format!(
        "the pattern {:?} has {part}, which is no wildcard here; the only wildcard is *, which matches any run of characters",
        pattern.as_str()
    );
    Some(BrokenRule::new(field, message))
}

/// Checks a pattern on a name, which consists of letters, digits and few signs.
fn check_name(field: &'static str, pattern: &Pattern) -> Option<BrokenRule> {
    if let Some(rule) = check_text(field, pattern) {
        return Some(rule);
    }
    let text = pattern.as_str();
    let unknown = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-*".contains(*c)))?;
    let message = match text.split_once('/') {
        Some((collection, key)) if field == "collection" => {
            format!("no collection has a '/' in its name; write collection = {collection:?} and key = {key:?}")
        }
        _ => format!("the pattern {text:?} matches nothing, because no name contains {unknown:?}"),
    };
    Some(BrokenRule::new(field, message))
}

/// Checks that the trigger which a dead-letter trigger names exists and can make dead letters. A
/// pattern with a wildcard may match triggers of later deployments.
fn check_target(target: &Pattern, specs: &[&TriggerSpec]) -> Option<BrokenRule> {
    let name = target.as_str();
    if name.contains('*') {
        return None;
    }
    match specs.iter().find(|spec| spec.name.as_str() == name) {
        Some(spec) if runs_once(&spec.rule) => {
            let message = format!(
                "the trigger {name:?} of the source {:?} makes no dead letters",
                spec.rule.source().to_string()
            );
            Some(BrokenRule::new("trigger", message))
        }
        Some(_) => None,
        None => {
            let names: Vec<&str> =
                specs.iter().filter(|spec| !runs_once(&spec.rule)).map(|spec| spec.name.as_str()).collect();
            let hint = if names.is_empty() { String::new() } else { format!("; {}", did_you_mean(name, &names)) };
            Some(BrokenRule::new("trigger", format!("there is no trigger {name:?}{hint}")))
        }
    }
}

fn have_same_route(one: &TriggerSpec, other: &TriggerSpec) -> bool {
    match (&one.rule, &other.rule) {
        (Match::Http { method, path, .. }, Match::Http { method: other_method, path: other_path, .. }) => {
            method == other_method && path.is_equivalent(other_path)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: &str = "2026-11-23T12:00:00Z";

    fn spec(name: &str, rule: Value, more: Value) -> TriggerSpec {
        let mut spec = json!({"name": name, "match": rule, "handler": {"script": "s"}});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    #[test]
    fn a_trigger_without_the_expected_effect_breaks_a_rule() {
        let wildcard = "which is no wildcard here; the only wildcard is *, which matches any run of characters";
        for (rule, more, expected) in [
            (json!({"source": "kv"}), json!({}), None),
            (json!({"source": "kv", "collection": "a.b-*", "key": "x y/(1)*"}), json!({}), None),
            (
                json!({"source": "kv", "collection": "orders/*"}),
                json!({}),
                Some(("collection", "no collection has a '/' in its name; write collection = \"orders\" and key = \"*\"".to_owned())),
            ),
            (
                json!({"source": "kv", "collection": "my orders"}),
                json!({}),
                Some(("collection", "the pattern \"my orders\" matches nothing, because no name contains ' '".to_owned())),
            ),
            (
                json!({"source": "kv", "key": "orders-[0-9]*"}),
                json!({}),
                Some(("key", format!("the pattern \"orders-[0-9]*\" has […], {wildcard}"))),
            ),
            (
                json!({"source": "app", "type": "order.{made,paid}"}),
                json!({}),
                Some(("type", format!("the pattern \"order.{{made,paid}}\" has {{…}}, {wildcard}"))),
            ),
            (
                json!({"source": "app", "type": "*", "subject": "^orders/.*$"}),
                json!({}),
                Some(("subject", format!("the pattern \"^orders/.*$\" has ^, {wildcard}"))),
            ),
            (
                json!({"source": "dead_letter", "trigger": "a|b"}),
                json!({}),
                Some(("trigger", format!("the pattern \"a|b\" has |, {wildcard}"))),
            ),
            (
                json!({"source": "http", "method": "GET", "path": "/a/:id"}),
                json!({}),
                Some(("path", "the segment \":id\" would match only itself; write {name} for one segment, or {name...} for the rest".to_owned())),
            ),
            (
                json!({"source": "http", "method": "GET", "path": "/a"}),
                json!({"retry": {"max_attempts": 3}}),
                Some(("retry", "a trigger of the source \"http\" is never retried; leave the retry out".to_owned())),
            ),
            (
                json!({"source": "dead_letter"}),
                json!({"retry": {"max_lost": 1}}),
                Some(("retry", "a trigger of the source \"dead_letter\" is never retried; leave the retry out".to_owned())),
            ),
            (json!({"source": "kv"}), json!({"retry": {"max_attempts": 3}}), None),
            (json!({"source": "cron", "expression": "0 0 0 1 1 * 2027"}), json!({}), None),
            (
                json!({"source": "cron", "expression": "0 0 0 1 1 * 2025-2026"}),
                json!({}),
                Some(("expression", "the schedule \"0 0 0 1 1 * 2025-2026\" is over; it never ticks again".to_owned())),
            ),
            (
                json!({"source": "kv"}),
                json!({"handler": {"native": "n"}, "isolation": "fresh"}),
                Some(("isolation", "only a trigger with a script has an isolation".to_owned())),
            ),
        ] {
            let broken = check(&spec("t", rule.clone(), more), Timestamp::from_rfc3339(NOW).unwrap());
            let expected: Vec<_> = expected.into_iter().map(|(field, message)| BrokenRule { field, message }).collect();
            assert_eq!(broken, expected, "{rule}");
        }
    }

    #[test]
    fn triggers_are_checked_together() {
        let route = |name: &str, method: &str, path: &str, enabled: bool| {
            spec(name, json!({"source": "http", "method": method, "path": path}), json!({"enabled": enabled}))
        };
        let specs = [
            route("a", "GET", "/x/{id}", true),
            route("b", "GET", "/x/{name}", true),
            route("c", "*", "/x/{id}", true),
            route("d", "GET", "/x/{id}", false),
            spec("e", json!({"source": "kv"}), json!({})),
            spec("f", json!({"source": "dead_letter", "trigger": "e"}), json!({})),
            spec("g", json!({"source": "dead_letter", "trigger": "none*"}), json!({})),
            spec("h", json!({"source": "dead_letter", "trigger": "ee"}), json!({})),
            spec("i", json!({"source": "dead_letter", "trigger": "a"}), json!({})),
        ];
        let broken: Vec<_> = check_together(&specs.each_ref())
            .into_iter()
            .map(|(index, rule)| (specs[index].name.to_string(), rule.field, rule.message))
            .collect();
        let expected = [
            ("b", "path", "the trigger \"a\" has the same method and path"),
            ("h", "trigger", "there is no trigger \"ee\"; did you mean `e`?"),
            ("i", "trigger", "the trigger \"a\" of the source \"http\" makes no dead letters"),
        ];
        assert_eq!(broken, expected.map(|(name, field, message)| (name.to_owned(), field, message.to_owned())));
    }
}
