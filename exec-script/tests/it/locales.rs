//! Functions that depend on a locale. The engine has no data of locales.

use crate::world::{World, delivery};
use std::time::Duration;

async fn answer(expression: &str) -> String {
    let source = format!(
        "export default () => {{ try {{ return {expression} }} catch (e) {{ return `${{e.code}}: ${{e.message}}` }} }}"
    );
    World::new(&source).text(delivery(Duration::from_secs(20))).await
}

#[tokio::test]
async fn a_locale_or_its_options_are_refused_as_unsupported() {
    for (expression, name) in [
        ("(1234.5).toLocaleString('de-DE')", "Number.prototype.toLocaleString"),
        (
            "(1234.5).toLocaleString(undefined, { style: 'currency', currency: 'EUR' })",
            "Number.prototype.toLocaleString",
        ),
        ("12n.toLocaleString('de')", "BigInt.prototype.toLocaleString"),
        ("new Date(0).toLocaleString('de-DE')", "Date.prototype.toLocaleString"),
        ("new Date(0).toLocaleDateString('de-DE', { timeZone: 'Europe/Berlin' })", "Date.prototype.toLocaleDateString"),
        ("new Date(0).toLocaleTimeString([], { timeStyle: 'short' })", "Date.prototype.toLocaleTimeString"),
        ("[1, 2].toLocaleString('de')", "Array.prototype.toLocaleString"),
        ("new Float64Array([1.5]).toLocaleString('de')", "TypedArray.prototype.toLocaleString"),
        ("'ä'.localeCompare('z', 'sv')", "String.prototype.localeCompare"),
        ("'10'.localeCompare('2', undefined, { numeric: true })", "String.prototype.localeCompare"),
        ("'i'.toLocaleUpperCase('tr')", "String.prototype.toLocaleUpperCase"),
        ("'I'.toLocaleLowerCase('tr')", "String.prototype.toLocaleLowerCase"),
    ] {
        let text = answer(expression).await;
        assert!(text.starts_with("\"unsupported: ") && text.contains(name), "{expression}: {text}");
    }
}

#[tokio::test]
async fn without_a_locale_the_functions_answer() {
    for (expression, expected) in [
        ("(1234.5).toLocaleString()", "\"1234.5\""),
        ("(1234.5).toLocaleString(undefined, undefined)", "\"1234.5\""),
        ("12n.toLocaleString()", "\"12\""),
        ("[1, null, 'a'].toLocaleString()", "\"1,,a\""),
        ("'a'.localeCompare('b')", "-1"),
        ("['b', 'a'].sort((x, y) => x.localeCompare(y))", "[\"a\",\"b\"]"),
        ("'i'.toLocaleUpperCase()", "\"I\""),
        ("typeof new Date(0).toLocaleDateString()", "\"string\""),
        ("'a'.localeCompare.name + 'a'.localeCompare.length", "\"localeCompare1\""),
        ("Object.keys(Number.prototype).length", "0"),
        ("typeof Intl", "\"undefined\""),
    ] {
        assert_eq!(answer(expression).await, expected, "{expression}");
    }
}

#[tokio::test]
async fn the_use_of_intl_fails_with_the_reason() {
    for source in ["export default () => new Intl.NumberFormat('de')", "export default async () => { Intl.Collator() }"]
    {
        let failure = World::new(source).failure().await;
        assert!(failure.message.starts_with("ReferenceError: Intl is not defined"), "{}", failure.message);
        assert!(failure.message.contains("unsupported"), "{}", failure.message);
    }
}
