//! Text that leaves a script. A string of JavaScript may contain half of a surrogate pair, which no
//! other text can. It becomes U+FFFD, the replacement character.

use rquickjs::{Ctx, String as JsString};

const REPLACEMENT: char = '\u{fffd}';
/// The length of an escape such as `\ud83d`.
const ESCAPE_BYTES: usize = 6;

/// Replaces each half of a surrogate pair in valid JSON. JSON can contain them only as escapes.
pub(crate) fn well_formed(json: String) -> String {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return json;
    }
    let (mut text, mut rest) = (String::with_capacity(json.len()), json.as_str());
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let (kept, length) = match (surrogate(escape), escape.get(ESCAPE_BYTES..).and_then(surrogate)) {
            (Some(Half::High), Some(Half::Low)) => (true, 2 * ESCAPE_BYTES),
            (Some(_), _) => (false, ESCAPE_BYTES),
            // A backslash and one ASCII character, of which a second backslash begins no escape.
            (None, _) => (true, 2),
        };
        let (escape, after) = escape.split_at(length.min(escape.len()));
        if kept {
            text.push_str(escape);
        } else {
            text.push(REPLACEMENT);
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// One half of a surrogate pair.
enum Half {
    High,
    Low,
}

/// The half that `text` begins with, as an escape.
fn surrogate(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xd800..=0xdbff => Some(Half::High),
        0xdc00..=0xdfff => Some(Half::Low),
        _ => None,
    }
}

/// The text of a string of a script. `None` if there is no memory for it.
pub(crate) fn text_of<'js>(ctx: &Ctx<'js>, string: &JsString<'js>) -> Option<String> {
    string.to_string().ok().or_else(|| {
        let json = ctx.json_stringify(string.clone().into_value()).ok()??.to_string().ok()?;
        serde_json::from_str(&well_formed(json)).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_half_without_its_other_half_is_replaced() {
        for (json, expected) in [
            (r#""a""#, r#""a""#),
            (r#""\ud800""#, "\"\u{fffd}\""),
            (r#""\udc00\ud800x""#, "\"\u{fffd}\u{fffd}x\""),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""\ud83d\ud83d\ude00""#, "\"\u{fffd}\\ud83d\\ude00\""),
            (r#""\\ud800 \\\ud800""#, "\"\\\\ud800 \\\\\u{fffd}\""),
            (r#""\n\u0001\uDFFF""#, "\"\\n\\u0001\u{fffd}\""),
            (r#"{"\ud800":1}"#, "{\"\u{fffd}\":1}"),
        ] {
            assert_eq!(well_formed(json.to_owned()), expected, "{json}");
            assert!(serde_json::from_str::<serde_json::Value>(&well_formed(json.to_owned())).is_ok(), "{json}");
        }
    }
}
