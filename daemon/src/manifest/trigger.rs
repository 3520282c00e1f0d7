use super::fields::Fields;
use super::problems::Problems;
use super::scripts::Scripts;
use crate::config::{did_you_mean, nearest};
use crate::{trigger_rules, wall_clock};
use std::ops::Range;
use tidegate_core::{
    Backoff, CronExpression, Handler, InvalidRetryPolicy, Isolation, KvOp, KvOps, Match, MaxConcurrency, Pattern,
    RetryPolicy, RetryPolicySpec, RouteMethod, RoutePath, ScriptName, TimeZone, TimeoutMs, TriggerName, TriggerSpec,
};
use toml::de::DeTable;

/// The keys that are valid for each source.
const COMMON: [&str; 10] = [
    "name",
    "renamed_from",
    "source",
    "script",
    "native",
    "timeout_ms",
    "max_concurrency",
    "isolation",
    "enabled",
    "retry",
];

/// The sources, each with the keys of its own match rule.
const SOURCES: [(&str, &[&str]); 5] = [
    ("kv", &["ops", "collection", "key"]),
    ("app", &["type", "subject"]),
    ("cron", &["expression", "time_zone"]),
    ("http", &["method", "path", "public"]),
    ("dead_letter", &["trigger"]),
];

const RETRY: [&str; 7] = ["max_attempts", "max_lost", "backoff", "base_ms", "max_ms", "jitter", "max_age_ms"];

/// The keys of the `[[trigger]]` at `index`. Its messages contain the name of the trigger, or its
/// number if it has no name.
pub(super) fn fields<'t>(
    table: &'t DeTable<'t>,
    span: Range<usize>,
    index: usize,
    problems: &'t Problems<'t>,
) -> Fields<'t> {
    let name = table.get("name").and_then(|name| name.get_ref().as_str());
    let place = name.map_or_else(|| format!("trigger {}", index + 1), |name| format!("trigger {name:?}"));
    Fields::new(table, span, &place, problems)
}

/// Reads one `[[trigger]]`. `None` if its name, rule or handler is wrong. Every problem is
/// reported.
pub(super) fn read(fields: &Fields<'_>, scripts: &Scripts) -> Option<TriggerSpec> {
    let name = fields.parse_required("name", TriggerName::new);
    let rule = rule(fields);
    let handler = handler(fields, scripts);
    let retry = match &rule {
        Some(rule) if fields.has("retry") && trigger_rules::runs_once(rule) => {
            fields.report("retry", &trigger_rules::no_retry(rule).message);
            RetryPolicy::default()
        }
        _ => retry(fields),
    };
    let timeout_ms = fields.number("timeout_ms").and_then(|ms| accept(fields, "timeout_ms", TimeoutMs::try_from(ms)));
    let max_concurrency = fields
        .number("max_concurrency")
        .and_then(|most| accept(fields, "max_concurrency", MaxConcurrency::try_from(most)));
    let isolation = isolation(fields);
    let enabled = fields.boolean("enabled").unwrap_or(true);
    let spec = TriggerSpec {
        name: name?,
        rule: rule?,
        handler: handler?,
        retry,
        timeout_ms: timeout_ms.unwrap_or_default(),
        max_concurrency,
        isolation,
        enabled,
    };
    for broken in trigger_rules::check(&spec, wall_clock::now()) {
        fields.report(broken.field, &broken.message);
    }
    Some(spec)
}

fn rule(fields: &Fields<'_>) -> Option<Match> {
    let names = SOURCES.map(|(name, _)| name);
    if !fields.has("source") {
        fields.report_table(&format!("`source` is missing; it is one of {}", quote(&names)));
        return None;
    }
    let source = fields.text("source")?;
    let Some((_, own)) = SOURCES.iter().find(|(name, _)| *name == source) else {
        fields.report("source", &format!("unknown source {source:?}; {}", did_you_mean(source, &names)));
        return None;
    };
    refuse_unknown(fields, source, own);
    let pattern = |key| if fields.has(key) { fields.parse(key, Pattern::new) } else { Some(Pattern::any()) };
    Some(match source {
        "kv" => Match::Kv { ops: ops(fields), collection: pattern("collection")?, key: pattern("key")? },
        "app" => Match::App { event_type: fields.parse_required("type", Pattern::new)?, subject: pattern("subject")? },
        "cron" => Match::Cron {
            expression: fields.parse_required("expression", CronExpression::new)?,
            time_zone: time_zone(fields)?,
        },
        "http" => Match::Http {
            method: fields.parse_required("method", RouteMethod::new)?,
            path: fields.parse_required("path", RoutePath::new)?,
            public: fields.boolean("public").unwrap_or(false),
        },
        _ => Match::DeadLetter { trigger: pattern("trigger")? },
    })
}

/// Reports each key that this source does not have. The message names the source that has the key,
/// if there is one.
fn refuse_unknown(fields: &Fields<'_>, source: &str, own: &[&str]) {
    let known: Vec<&str> = own.iter().copied().chain(COMMON).collect();
    fields.refuse_unknown_or(&known, |key| {
        let (other, _) = SOURCES.iter().find(|(_, keys)| keys.contains(&key))?;
        Some(format!("`{key}` is a key of the source {other:?}, but this trigger's source is {source:?}"))
    });
}

fn time_zone(fields: &Fields<'_>) -> Option<TimeZone> {
    if fields.has("time_zone") {
        fields.parse("time_zone", |name| TimeZone::new(&name))
    } else {
        Some(TimeZone::default())
    }
}

fn ops(fields: &Fields<'_>) -> KvOps {
    let Some(names) = fields.texts("ops") else { return KvOps::default() };
    let mut ops = Vec::new();
    for name in names {
        match name {
            "set" => ops.push(KvOp::Set),
            "delete" => ops.push(KvOp::Delete),
            other => {
                fields.report("ops", &format!("unknown op {other:?}; {}", did_you_mean(other, &["set", "delete"])))
            }
        }
    }
    KvOps::try_from(ops).unwrap_or_else(|error| {
        if fields.texts("ops").is_some_and(|names| names.is_empty()) {
            fields.report("ops", error);
        }
        KvOps::default()
    })
}

fn handler(fields: &Fields<'_>, scripts: &Scripts) -> Option<Handler> {
    match (fields.has("script"), fields.has("native")) {
        (true, false) => script(fields, scripts).map(Handler::Script),
        (false, true) => fields.parse("native", ScriptName::new).map(Handler::Native),
        (true, true) => {
            fields.report("native", "a trigger has one handler, but this one has a script too");
            None
        }
        (false, false) => {
            fields.report_table("no handler; write script = \"FILE.js\" or native = \"NAME\"");
            None
        }
    }
}

fn script(fields: &Fields<'_>, scripts: &Scripts) -> Option<ScriptName> {
    let path = fields.text("script")?;
    if let Some(script) = scripts.get(path.strip_prefix("./").unwrap_or(path)) {
        return Some(script.name.clone());
    }
    let paths = scripts.paths();
    let available = if paths.is_empty() {
        "there are no .js files here".to_owned()
    } else {
        format!("there are {}", paths.join(", "))
    };
    let near = nearest(path, paths.iter().copied().chain(paths.iter().filter_map(|path| path.strip_suffix(".js"))));
    let hint = near.map_or_else(String::new, |near| {
        format!("; did you mean {:?}?", format!("{}.js", near.trim_end_matches(".js")))
    });
    fields.report("script", &format!("there is no file {path:?}; {available}{hint}"));
    None
}

fn isolation(fields: &Fields<'_>) -> Isolation {
    if fields.has("isolation") && !fields.has("script") {
        fields.report(
            "isolation",
            "only a trigger with a script has an isolation; a native handler runs in the daemon's process",
        );
        return Isolation::default();
    }
    let parse = |name: String| {
        let names = Isolation::ALL.map(Isolation::name);
        Isolation::from_name(&name)
            .ok_or_else(|| format!("unknown isolation {name:?}; {}", did_you_mean(&name, &names)))
    };
    if fields.has("isolation") { fields.parse("isolation", parse).unwrap_or_default() } else { Isolation::default() }
}

fn retry(fields: &Fields<'_>) -> RetryPolicy {
    let Some(retry) = fields.table("retry", &format!("{} retry", fields.place())) else {
        return RetryPolicy::default();
    };
    retry.refuse_unknown(&RETRY);
    let default = RetryPolicySpec::default();
    let base_ms = retry.number("base_ms").unwrap_or(default.base_ms);
    let count = |key, default| retry.number(key).map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX));
    let spec = RetryPolicySpec {
        max_attempts: count("max_attempts", default.max_attempts),
        max_lost: count("max_lost", default.max_lost),
        backoff: retry.parse("backoff", backoff).unwrap_or_default(),
        base_ms,
        // Without a `max_ms`, a `base_ms` above the default cap raises the cap.
        max_ms: retry.number("max_ms").unwrap_or(default.max_ms.max(base_ms)),
        jitter: retry.fraction("jitter").unwrap_or(default.jitter),
        max_age_ms: retry.number("max_age_ms"),
    };
    RetryPolicy::try_from(spec).unwrap_or_else(|error| {
        let message = error.to_string();
        let (_, rule) = message.split_once(" must ").unwrap_or(("", &message));
        retry.report(bound_of(error), &format!("must {rule}"));
        RetryPolicy::default()
    })
}

const fn bound_of(error: InvalidRetryPolicy) -> &'static str {
    match error {
        InvalidRetryPolicy::MaxAttempts => "max_attempts",
        InvalidRetryPolicy::MaxLost => "max_lost",
        InvalidRetryPolicy::Base => "base_ms",
        InvalidRetryPolicy::Max => "max_ms",
        InvalidRetryPolicy::Jitter => "jitter",
        InvalidRetryPolicy::MaxAge => "max_age_ms",
    }
}

fn backoff(name: String) -> Result<Backoff, String> {
    let names = ["exponential", "linear", "constant"];
    Backoff::from_name(&name).ok_or_else(|| format!("unknown shape {name:?}; {}", did_you_mean(&name, &names)))
}

fn accept<T>(fields: &Fields<'_>, key: &str, result: Result<T, &'static str>) -> Option<T> {
    result.map_err(|error| fields.report(key, error.strip_prefix(key).map_or(error, str::trim_start))).ok()
}

fn quote(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
