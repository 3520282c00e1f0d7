//! `check`, which runs before a script is deployed.

use std::time::{Duration, Instant};
use tidegate_exec_script::{Limits, check};

#[test]
fn a_script_with_a_handler_passes() {
    for source in [
        "export default async function (event, ctx) {}",
        "export default () => 1",
        "const x = await Promise.resolve(1); export default () => x",
        "console.log('loaded'); export { f as default }; function f() {}",
    ] {
        assert_eq!(check("s", source, Limits::default()), Ok(()), "{source}");
    }
}

#[test]
fn a_script_that_cannot_run_is_refused_with_its_line() {
    let refused = |source: &str| check("s", source, Limits::default()).expect_err(source);
    let error = refused("export default () => {}\n\nlet let = 1;");
    assert_eq!(error.line, Some(3), "{error}");
    assert!(error.message.contains("SyntaxError"), "{error}");
    assert!(refused("export const x = 1").message.contains("no default export"));
    assert!(refused("throw new Error('at load')").message.contains("at load"));
    let long = format!("export default () => {{}} //{}", "x".repeat(1 << 20));
    assert!(refused(&long).message.contains("scripts.source_bytes_max"));
}

#[test]
fn an_endless_top_level_is_refused_within_4_seconds() {
    for source in
        ["for (;;) {}", "await new Promise(() => {})", "'a'.repeat(1 << 21).indexOf('a'.repeat(1 << 13) + 'b')"]
    {
        let began = Instant::now();
        assert!(check("s", source, Limits::default()).is_err(), "{source}");
        assert!(began.elapsed() < Duration::from_secs(4), "{source}");
    }
}
