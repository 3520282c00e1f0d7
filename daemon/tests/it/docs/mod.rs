//! The examples of the README and of the pages in `docs/` are executed, so that a reader can rely
//! on them.

mod page;
mod shell;

use crate::cli_support::{TIMEOUT, wait_for};
use crate::world::{Database, MachineLock};
use page::{Block, blocks, missing_line};
use serde_json::Value;
use shell::Shell;

const START: &str = "cargo run --release -- dev examples/orders";
const PASSWORD: &str = "correct horse battery staple\n";
/// A script for manifests whose page shows no script.
const EMPTY_SCRIPT: &str = "export default () => {};\n";

/// Runs the command of `block` until its output has the lines of `expected`.
fn expect(shell: &Shell, block: &Block, expected: &Block) {
    let mut last = None;
    let found = wait_for_quietly(|| {
        let output = shell.run(&block.text, "");
        let missing = missing_line(&expected.text, &output.out);
        let is_done = output.code == 0 && missing.is_none();
        last = Some((output, missing));
        is_done
    });
    assert!(found, "{}: the output differs from {}: {last:#?}", block.place, expected.place);
}

fn wait_for_quietly(mut is_done: impl FnMut() -> bool) -> bool {
    let since = std::time::Instant::now();
    while !is_done() {
        if since.elapsed() > TIMEOUT {
            return false;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    true
}

#[test]
fn the_readme_works_as_written() {
    let _lock = MachineLock::shared();
    let page = blocks("README.md");
    let mut shell = Shell::new();
    let mut next = page.iter();
    let mut take = |language: &str, word: &str| {
        let block = next.by_ref().find(|block| block.language == language && block.text.contains(word));
        block.unwrap_or_else(|| panic!("README.md has no more {language} block with {word:?}"))
    };

    let start = take("sh", START);
    let banner = shell.start_daemon(&start.text);
    let shown = take("", "runs the app orders");
    assert_eq!(missing_line(&shown.text, &banner), None, "{}: the banner differs: {banner}", shown.place);
    let (put, receipt) = (take("sh", "curl -X PUT"), take("json", "event_id"));
    expect(&shell, put, receipt);
    let (get, value) = (take("sh", "tidegate kv get"), take("json", "\"attempt\""));
    expect(&shell, get, value);

    let lines = take("", "dead letter after");
    assert_eq!(shell.run(&put.text.replace("kv/orders/1", "kv/orders/bad-1"), "").code, 0);
    wait_for("the lines of the deliveries", TIMEOUT, || {
        missing_line(&lines.text, &shell.log()).is_none().then_some(())
    });

    let (start, emit) = (take("sh", "DATABASE_URL="), take("sql", "tidegate.emit"));
    let database = Database::create();
    let url = start.text.split_whitespace().next().and_then(|word| word.strip_prefix("DATABASE_URL=")).unwrap();
    let script = start.text.replace(url, database.url()).replace("DATABASE_URL", "env DATABASE_URL");
    shell.start_daemon(&script);
    database.execute(&emit.text);
    let count = || shell.run("tidegate kv get counts/bob", "").out;
    wait_for("the count", TIMEOUT, || (count() == "{\"orders\":1}\n").then_some(()));
}

/// Each manifest of a page is deployed with the script of that page.
#[test]
fn the_manifests_and_scripts_of_the_pages_are_deployed() {
    let mut shell = Shell::new();
    shell.start_daemon(START);
    for path in ["README.md", "docs/dead-letters.md", "docs/http.md", "docs/scripts.md", "docs/time.md"] {
        let page = blocks(path);
        let of = |language: &str| page.iter().filter(|block| block.language == language).collect::<Vec<_>>();
        let mut scripts: Vec<String> = of("js").iter().map(|block| whole_script(&block.text)).collect();
        if scripts.is_empty() {
            scripts.push(EMPTY_SCRIPT.to_owned());
        }
        let manifests = of("toml");
        assert!(!manifests.is_empty(), "{path} has a manifest");
        for (nth, manifest) in manifests.iter().enumerate() {
            for source in &scripts {
                deploy(&shell, &format!("{path}-{nth}"), manifest, source);
            }
        }
    }
}

/// A part of a script becomes the body of a handler.
fn whole_script(text: &str) -> String {
    if text.contains("export default") { text.to_owned() } else { format!("export default () => {{\n{text}}};\n") }
}

fn deploy(shell: &Shell, folder: &str, manifest: &Block, source: &str) {
    let folder = shell.path(&folder.replace('/', "-"));
    std::fs::create_dir_all(&folder).unwrap();
    let is_whole = manifest.text.contains("[app]");
    let head = if is_whole { "" } else { "[app]\nname = \"example\"\n" };
    std::fs::write(folder.join("tidegate.toml"), format!("{head}{}", manifest.text)).unwrap();
    for line in manifest.text.lines() {
        if let Some(name) = line.strip_prefix("script = \"").and_then(|rest| rest.split('"').next()) {
            std::fs::write(folder.join(name), source).unwrap();
        }
    }
    let output = shell.run(&format!("tidegate deploy {}", folder.display()), "");
    assert_eq!(output.code, 0, "{} with {source}: {output:#?}", manifest.place);
}

#[test]
fn the_http_example_answers() {
    let mut shell = Shell::new();
    shell.start_daemon(START);
    let page = blocks("docs/http.md");
    let of = |language: &str| page.iter().find(|block| block.language == language).unwrap();
    deploy(&shell, "http", of("toml"), &of("js").text);
    let call = "curl -si -X POST http://127.0.0.1:8787/http/example/orders/7 -d '{\"total\": 12}'";
    let answer = shell.run(call, "").out;
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("location: /orders/7"), "{answer}");
    assert!(answer.ends_with("{\"ok\":true}"), "{answer}");
}

/// Each line of a page that begins with `tidegate` succeeds.
#[test]
fn the_commands_of_the_pages_succeed() {
    let mut shell = Shell::new();
    shell.start_daemon(START);
    for order in ["bad-1", "bad-2"] {
        assert_eq!(shell.run(&format!("tidegate kv put orders/{order} '{{}}'"), "").code, 0);
    }
    let letters = wait_for("two dead letters", TIMEOUT, || {
        let list: Value = serde_json::from_str(&shell.run("tidegate dead-letters --json", "").out).ok()?;
        list["dead_letters"].as_array().filter(|letters| letters.len() == 2).cloned()
    });
    let mut count = 0;
    for path in ["docs/dead-letters.md", "docs/http.md", "docs/identity.md", "docs/time.md", "docs/configuration.md"] {
        for block in blocks(path).iter().filter(|block| block.language == "sh") {
            for line in block.text.lines().filter(|line| line.starts_with("tidegate ")) {
                let command = line
                    .replace("redrive 17 18", &format!("redrive {} {}", letters[0]["id"], letters[1]["id"]))
                    .replace("c126f9bf031f3ff0", letters[0]["fingerprint"].as_str().unwrap())
                    .replace("SCRIPT", "receipt")
                    .replace("JSON", "'{\"key\": \"1\", \"value\": {}}'");
                let output = shell.run(&command, PASSWORD);
                assert_eq!(output.code, 0, "{}: {command}: {output:#?}", block.place);
                count += 1;
            }
        }
    }
    assert!(count >= 10, "only {count} commands were found");
}

/// The statements of the page about the tables run on Postgres. Those for SQLite are tested beside
/// its store.
#[test]
fn the_statements_on_tables_run_on_postgres() {
    let mut shell = Shell::new();
    let database = Database::create();
    shell.start_daemon(&format!("env DATABASE_URL='{}' {START}", database.url()));
    let page = blocks("docs/database.md");
    let statements = page.iter().take_while(|block| !block.text.starts_with("sqlite3"));
    let statements: Vec<_> = statements.filter(|block| block.language == "sql").collect();
    assert!(statements.len() >= 6, "only {} statements were found", statements.len());
    // Roles and databases belong to the whole server, so the names of the page get a suffix. The
    // page creates them all, except the role `shop`.
    let suffix = std::process::id();
    let roles = ["shop", "tidegate_owner", "tidegate_runner"].map(|role| (role, format!("{role}_{suffix}")));
    let of_page = format!("{}_of_page", database.name());
    database.execute(&format!("create role shop_{suffix}"));
    for block in statements {
        let text = block.text.replace("database tidegate ", &format!("database {of_page} "));
        database.execute(&roles.iter().fold(text, |text, (role, own)| text.replace(role, own)));
    }
    database.execute(&format!("drop database {of_page}"));
    for (_, role) in &roles {
        database.execute(&format!("drop owned by {role}; drop role {role}"));
    }
}
