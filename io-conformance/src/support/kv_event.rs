//! Reads the data of KV events.

use serde_json::value::RawValue;
use std::collections::BTreeMap;
use tidegate_core::{Event, Version};

/// The collection, the key, the text of the value and the version. Checks that the event has no
/// other field.
pub(crate) fn kv_data(event: &Event) -> (String, String, String, Version) {
    let data: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(event.data.as_str()).expect("the data of a KV event is an object");
    assert_eq!(data.keys().collect::<Vec<_>>(), ["collection", "key", "value", "version"]);
    let text = |name: &str| serde_json::from_str::<String>(data[name].get()).expect("a string");
    let version = data["version"].get().parse().expect("a whole number");
    (text("collection"), text("key"), data["value"].get().to_owned(), Version(version))
}
