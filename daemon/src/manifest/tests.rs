use super::scripts::{ScriptFile, Scripts};
use super::*;
use tidegate_core::{CronExpression, Handler, KvOps, Match, Pattern, RouteMethod, RoutePath, ScriptName, TimeZone};

fn scripts() -> Scripts {
    let script = |path: &str, name| ScriptFile {
        path: path.to_owned(),
        name: ScriptName::new(name).unwrap(),
        source: format!("// {name}"),
    };
    Scripts { found: vec![script("count.js", "count"), script("receipt.js", "receipt")], problems: Vec::new() }
}

/// A manifest with one trigger, to which `lines` are added at line 7.
fn trigger(lines: &str) -> String {
    format!("[app]\nname = \"a\"\n\n[[trigger]]\nname = \"t\"\nscript = \"receipt.js\"\n{lines}")
}

#[test]
fn a_manifest_is_read_into_a_deployment() {
    let text = r#"
        [app]
        name = "orders"

        [[trigger]]
        name = "receipt"
        source = "kv"
        ops = ["set"]
        collection = "orders"
        script = "receipt.js"
        timeout_ms = 500
        max_concurrency = 2
        isolation = "fresh"
        [trigger.retry]
        max_attempts = 3
        max_lost = 2
        backoff = "constant"
        base_ms = 100
        jitter = 0

        [[trigger]]
        name = "count"
        source = "app"
        type = "order.*"
        native = "counter"
        enabled = false
        retry = { base_ms = 604800000 }
    "#;
    let app = parse(text, scripts()).unwrap();
    assert_eq!(app.name.as_str(), "orders");
    let sources: Vec<_> = app.deployment.scripts.iter().map(|s| (s.name.as_str(), s.source.as_str())).collect();
    assert_eq!(sources, [("count", "// count"), ("receipt", "// receipt")]);
    let expected = serde_json::json!([
        {
            "name": "receipt", "handler": {"script": "receipt"}, "timeout_ms": 500, "max_concurrency": 2,
            "isolation": "fresh",
            "match": {"source": "kv", "ops": ["set"], "collection": "orders"},
            "retry": {"max_attempts": 3, "max_lost": 2, "backoff": "constant", "base_ms": 100, "jitter": 0.0},
        },
        {
            "name": "count", "handler": {"native": "counter"}, "enabled": false,
            "match": {"source": "app", "type": "order.*"}, "retry": {"base_ms": 604800000, "max_ms": 604800000},
        },
    ]);
    let expected: Vec<tidegate_core::TriggerSpec> = serde_json::from_value(expected).unwrap();
    assert_eq!(app.deployment.triggers, expected);
}

#[test]
fn every_source_can_be_written() {
    let any = Pattern::any;
    let (method, path) = (RouteMethod::new("GET").unwrap(), RoutePath::new("/a/{id}").unwrap());
    let http = |public| Match::Http { method: method.clone(), path: path.clone(), public };
    for (lines, rule) in [
        ("source = \"kv\"", Match::Kv { ops: KvOps::default(), collection: any(), key: any() }),
        ("source = \"app\"\ntype = \"*\"", Match::App { event_type: any(), subject: any() }),
        (
            "source = \"cron\"\nexpression = \"* * * * *\"",
            Match::Cron { expression: CronExpression::new("* * * * *").unwrap(), time_zone: TimeZone::default() },
        ),
        ("source = \"http\"\nmethod = \"GET\"\npath = \"/a/{id}\"", http(false)),
        ("source = \"http\"\nmethod = \"GET\"\npath = \"/a/{id}\"\npublic = true", http(true)),
        ("source = \"dead_letter\"", Match::DeadLetter { trigger: any() }),
    ] {
        let app = parse(&trigger(lines), scripts()).unwrap();
        assert_eq!(app.deployment.triggers[0].rule, rule, "{lines}");
        assert_eq!(app.deployment.triggers[0].handler, Handler::Script(ScriptName::new("receipt").unwrap()));
    }
}

#[test]
fn each_problem_of_a_trigger_has_a_message() {
    let kv = "source = \"kv\"\n";
    let retry = "source = \"kv\"\n[trigger.retry]\n";
    for (before, lines, expected) in [
        (kv, "colection = \"x\"", "line 8: trigger \"t\": unknown key `colection`; did you mean `collection`?"),
        (
            kv,
            "type = \"x\"",
            "line 8: trigger \"t\": `type` is a key of the source \"app\", but this trigger's source is \"kv\"",
        ),
        (kv, "key = \"\"", "line 8: trigger \"t\": key: the pattern is empty; use \"*\" to match everything"),
        (kv, "key = 3", "line 8: trigger \"t\": key: must be a string, it is of the type integer"),
        (kv, "ops = [\"st\"]", "line 8: trigger \"t\": ops: unknown op \"st\"; did you mean `set`?"),
        (kv, "ops = []", "line 8: trigger \"t\": ops: ops must name \"set\", \"delete\" or both"),
        (kv, "ops = \"set\"", "line 8: trigger \"t\": ops: must be a list of strings, it is of the type string"),
        (kv, "timeout_ms = 0", "line 8: trigger \"t\": timeout_ms: must be from 1 to 3600000"),
        (kv, "timeout_ms = -1", "line 8: trigger \"t\": timeout_ms: must be a whole number from 0, it is -1"),
        (kv, "max_concurrency = 0", "line 8: trigger \"t\": max_concurrency: must be from 1 to 10000"),
        (kv, "enabled = 1", "line 8: trigger \"t\": enabled: must be true or false, it is of the type integer"),
        (
            kv,
            "isolation = \"frsh\"",
            "line 8: trigger \"t\": isolation: unknown isolation \"frsh\"; did you mean `fresh`?",
        ),
        (
            kv,
            "native = \"n\"",
            "line 8: trigger \"t\": native: a trigger has one handler, but this one has a script too",
        ),
        (kv, "retry = 3", "line 8: trigger \"t\": retry: must be a table, it is of the type integer"),
        (
            retry,
            "attempts = 3",
            "line 9: trigger \"t\" retry: unknown key `attempts`; use one of `max_attempts`, `max_lost`, `backoff`, `base_ms`, `max_ms`, `jitter`, `max_age_ms`",
        ),
        (retry, "max_attempts = 0", "line 9: trigger \"t\" retry: max_attempts: must be from 1 to 100"),
        (retry, "max_lost = 101", "line 9: trigger \"t\" retry: max_lost: must be from 1 to 100"),
        (
            retry,
            "backoff = \"linar\"",
            "line 9: trigger \"t\" retry: backoff: unknown shape \"linar\"; did you mean `linear`?",
        ),
        (retry, "jitter = 1.5", "line 9: trigger \"t\" retry: jitter: must be from 0 to 1"),
        (retry, "max_ms = 5", "line 9: trigger \"t\" retry: max_ms: must be from retry.base_ms to 604800000 (7 days)"),
        ("", "source = \"kw\"", "line 7: trigger \"t\": source: unknown source \"kw\"; did you mean `kv`?"),
        (
            "",
            "source = \"cron\"\nexpression = \"* * * * *\"\ntime_zone = \"Berlin\"",
            "line 9: trigger \"t\": time_zone: the time zone \"Berlin\" is not known; use an IANA name such as \"Europe/Berlin\" or \"UTC\"",
        ),
        ("", "source = \"app\"", "line 4: trigger \"t\": `type` is missing"),
        (
            "",
            "enabled = true",
            "line 4: trigger \"t\": `source` is missing; it is one of \"kv\", \"app\", \"cron\", \"http\", \"dead_letter\"",
        ),
    ] {
        assert_eq!(parse(&trigger(&format!("{before}{lines}")), scripts()), Err(vec![expected.to_owned()]), "{lines}");
    }
}

#[test]
fn a_trigger_without_the_expected_effect_has_a_message() {
    let kv = "source = \"kv\"\n";
    for (before, lines, expected) in [
        (
            kv,
            "collection = \"orders/*\"",
            "line 8: trigger \"t\": collection: no collection has a '/' in its name; write collection = \"orders\" and key = \"*\"",
        ),
        (
            kv,
            "key = \"a?\"",
            "line 8: trigger \"t\": key: the pattern \"a?\" has ?, which is no wildcard here; the only wildcard is *, which matches any run of characters",
        ),
        (
            "",
            "source = \"http\"\nmethod = \"GET\"\npath = \"/a/:id\"",
            "line 9: trigger \"t\": path: the segment \":id\" would match only itself; write {name} for one segment, or {name...} for the rest",
        ),
        (
            "",
            "source = \"http\"\nmethod = \"GET\"\npath = \"/a\"\n[trigger.retry]\nmax_attempts = 5",
            "line 10: trigger \"t\": retry: a trigger of the source \"http\" is never retried; leave the retry out",
        ),
        (
            "",
            "source = \"dead_letter\"\nretry = {}",
            "line 8: trigger \"t\": retry: a trigger of the source \"dead_letter\" is never retried; leave the retry out",
        ),
        (
            "",
            "source = \"dead_letter\"\ntrigger = \"none\"",
            "line 8: trigger \"t\": trigger: there is no trigger \"none\"",
        ),
        (
            "",
            "source = \"cron\"\nexpression = \"*/90 * * * *\"",
            "line 8: trigger \"t\": expression: the cron expression \"*/90 * * * *\" is not valid: the step of the minute must be from 1 to 60, but it is 90",
        ),
        (
            "",
            "source = \"cron\"\nexpression = \"0 0 31 2 *\"",
            "line 8: trigger \"t\": expression: the cron expression \"0 0 31 2 *\" never ticks: no date has all its days, months and years",
        ),
        (
            "",
            "source = \"cron\"\nexpression = \"0 0 0 1 1 * 2020\"",
            "line 8: trigger \"t\": expression: the schedule \"0 0 0 1 1 * 2020\" is over; it never ticks again",
        ),
    ] {
        assert_eq!(parse(&trigger(&format!("{before}{lines}")), scripts()), Err(vec![expected.to_owned()]), "{lines}");
    }
}

#[test]
fn each_problem_of_a_manifest_has_a_message() {
    let app = "[app]\nname = \"a\"\n";
    for (text, expected) in [
        ("".to_owned(), vec!["line 1: there is no section [app]; write [app] and name = \"NAME\""]),
        ("[app]".to_owned(), vec!["line 1: [app]: `name` is missing"]),
        (
            "[app]\nname = \"A B\"".to_owned(),
            vec![
                "line 2: [app]: name: app \"A B\" is not valid: 1–63 of a–z, 0–9, '-' and '_', beginning with a letter or digit",
            ],
        ),
        (
            "[app]\nname = \"a\"\nversion = 1".to_owned(),
            vec!["line 3: [app]: unknown key `version`; use one of `name`"],
        ),
        (format!("{app}[[triger]]"), vec!["line 3: unknown key `triger`; did you mean `trigger`?"]),
        (format!("{app}[trigger]"), vec!["line 3: triggers are written as [[trigger]], with two brackets"]),
        (
            format!("{app}[[trigger]]\nsource = \"kv\"\nscript = \"recept.js\""),
            vec![
                "line 3: trigger 1: `name` is missing",
                "line 5: trigger 1: script: there is no file \"recept.js\"; there are count.js, receipt.js; did you mean \"receipt.js\"?",
            ],
        ),
        (
            format!("{app}[[trigger]]\nname = \"t\"\nsource = \"kv\"\nscript = \"count\""),
            vec![
                "line 6: trigger \"t\": script: there is no file \"count\"; there are count.js, receipt.js; did you mean \"count.js\"?",
            ],
        ),
        (
            format!("{app}[[trigger]]\nname = \"t\"\nsource = \"kv\""),
            vec!["line 3: trigger \"t\": no handler; write script = \"FILE.js\" or native = \"NAME\""],
        ),
        (
            trigger(
                "source = \"http\"\nmethod = \"GET\"\npath = \"/{a}\"\n[[trigger]]\nname = \"u\"\nscript = \"count.js\"\nsource = \"http\"\nmethod = \"GET\"\npath = \"/{b}\"",
            ),
            vec!["line 15: trigger \"u\": path: the trigger \"t\" has the same method and path"],
        ),
        (
            trigger("source = \"kv\"\n[[trigger]]\nname = \"t\"\nsource = \"kv\"\nnative = \"n\""),
            vec!["line 9: trigger \"t\": name: another trigger has this name"],
        ),
    ] {
        assert_eq!(parse(&text, scripts()).unwrap_err(), expected, "{text}");
    }
    let broken = parse("[app\n", scripts()).unwrap_err();
    assert!(broken.len() == 1 && broken[0].starts_with("line 1: "), "{broken:?}");
}

#[test]
fn a_directory_is_read_with_its_scripts() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| std::fs::write(directory.path().join(name), text).unwrap();
    let load = || {
        load(directory.path()).map_err(|error| error.to_string().replace(&directory.path().display().to_string(), "D"))
    };

    assert!(load().unwrap_err().starts_with("there is no D/tidegate.toml; an app directory has one, for example:\n"));
    write(
        "tidegate.toml",
        b"[app]\nname = \"a\"\n[[trigger]]\nname = \"t\"\nsource = \"kv\"\nscript = \"scripts/b.js\"\n",
    );
    assert_eq!(
        load(),
        Err("D/tidegate.toml is not valid:\n  line 6: trigger \"t\": script: there is no file \"scripts/b.js\"; there are no .js files here".to_owned())
    );
    std::fs::create_dir(directory.path().join("scripts")).unwrap();
    write("scripts/b.js", b"// b");
    write("a.js", b"// a");
    write(".a.js", b"");
    write("notes.txt", b"");
    let app = load().unwrap();
    assert_eq!(app_name(directory.path()), Some(app.name));
    let names: Vec<_> = app.deployment.scripts.iter().map(|script| script.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);

    write("scripts/a.js", b"");
    write("b c.js", b"");
    write("latin.js", b"\xff");
    write("long.js", &vec![b' '; 1024 * 1024 + 1]);
    let error = load().unwrap_err();
    for part in [
        "  b c.js: script \"b c\" is not valid: ",
        "  latin.js: stream did not contain valid UTF-8",
        "  long.js: the script has 1048577 bytes; at most 1048576 are allowed",
        "  scripts/a.js: a.js has the same name",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
}

#[test]
fn a_trigger_can_be_renamed() {
    let renamed = |lines: &str| parse(&trigger(&format!("source = \"kv\"\n{lines}")), scripts());
    let app = renamed("renamed_from = \"old\"").unwrap();
    let (from, to) = (TriggerName::new("old").unwrap(), TriggerName::new("t").unwrap());
    assert_eq!(app.deployment.renames, [TriggerRename { from, to }]);
    for (lines, expected) in [
        ("renamed_from = \"t\"", "line 8: trigger \"t\": renamed_from: a trigger \"t\" is in the manifest"),
        (
            "renamed_from = \"a b\"",
            "line 8: trigger \"t\": renamed_from: trigger \"a b\" is not valid: 1–128 of letters, digits, '.', '_' and '-', not beginning with '.'",
        ),
        (
            "renamed_from = \"old\"\n[[trigger]]\nname = \"u\"\nsource = \"kv\"\nscript = \"count.js\"\nrenamed_from = \"old\"",
            "line 13: trigger \"u\": renamed_from: another trigger has the same renamed_from",
        ),
    ] {
        assert_eq!(renamed(lines), Err(vec![expected.to_owned()]), "{lines}");
    }
}

#[test]
fn the_sample_in_the_error_message_is_valid() {
    assert_eq!(parse(SAMPLE, scripts()).unwrap().name.as_str(), "orders");
}
