//! Names, keys and JSON texts: what is accepted is kept as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::*;

macro_rules! check {
    ($text:expr, $($name:ident),+) => {$(
        if let Ok(name) = $name::new($text) {
            assert_eq!(name.as_str(), $text);
            assert!(!$text.chars().any(char::is_control), "a name has no control character");
            let json = serde_json::to_string(&name).expect("a name is JSON");
            assert_eq!(serde_json::from_str::<$name>(&json).ok(), Some(name));
        }
    )+};
}

fuzz_target!(|text: &str| {
    check!(text, AppName, Collection, EventType, Key, PrincipalId, ScriptName, Subject, TriggerName);
    if let Ok(json) = Json::parse(text) {
        assert_eq!(Json::parse(json.as_str()).as_ref(), Ok(&json), "a stored text is valid");
        assert!(!json.as_str().contains('\0'));
    }
});
