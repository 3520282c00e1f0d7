//! Text with a half of a surrogate pair, which is no valid Unicode.

use crate::world::{World, delivery};
use std::time::Duration;
use tidegate_core::*;

#[tokio::test]
async fn half_a_surrogate_pair_leaves_the_script_as_a_replacement_character() {
    let world = World::new(
        r#"export default async (event, ctx) => {
            const bad = "a\ud800b", other = "\udc00", good = "\ud83d\ude00", escaped = "\\ud800";
            await ctx.kv.set("c", bad, { [bad]: [bad, other, good, escaped, "\\\ud800"] });
            await ctx.emit("t" + other, bad, { subject: bad });
            const seen = await ctx.kv.get("c", "a\ufffdb");
            await ctx.kv.delete("c", other + bad);
            await ctx.kv.set("c", "seen", [seen, (await ctx.kv.list("c", { prefix: "a" })).length]);
        }"#,
    );
    let effects = world.effects().await;
    let text = |value: &Option<Json>| {
        value.as_ref().map(|json| serde_json::from_str::<serde_json::Value>(json.as_str()).unwrap())
    };
    let value = serde_json::json!({"a\u{fffd}b": ["a\u{fffd}b", "\u{fffd}", "😀", "\\ud800", "\\\u{fffd}"]});
    assert_eq!(effects.writes[0].key.as_str(), "a\u{fffd}b");
    assert_eq!(text(&effects.writes[0].value), Some(value.clone()));
    assert_eq!(effects.writes[1].key.as_str(), "\u{fffd}a\u{fffd}b");
    assert_eq!(text(&effects.writes[2].value), Some(serde_json::json!([value, 1])));
    let event = &effects.events[0];
    assert_eq!((event.event_type.as_str(), event.subject.as_str()), ("t\u{fffd}", "a\u{fffd}b"));
    assert_eq!(event.data, Json::parse("\"a\u{fffd}b\"").unwrap());
}

#[tokio::test]
async fn the_message_of_an_error_keeps_its_text_around_half_a_surrogate_pair() {
    for (thrown, expected) in [
        (r#"new Error("no \ud83d order")"#, "Error: no \u{fffd} order\nat"),
        (r#"Object.assign(new Error("x"), { name: "Bad\udc00" })"#, "Bad\u{fffd}: x\nat"),
        (r#""half \ud800""#, "threw \"half \u{fffd}\""),
        (r#"{ why: "\ud800" }"#, "threw {\"why\":\"\u{fffd}\"}"),
    ] {
        let failure = World::new(&format!("export default () => {{ throw {thrown} }}")).failure().await;
        assert!(failure.message.starts_with(expected), "{thrown}: {}", failure.message);
    }
}

#[tokio::test]
async fn a_reply_keeps_its_text_around_half_a_surrogate_pair() {
    let world = World::new(r#"export default () => ["a\ud800", { "\udc00": 1 }]"#);
    assert_eq!(world.text(delivery(Duration::from_secs(20))).await, "[\"a\u{fffd}\",{\"\u{fffd}\":1}]");
}
