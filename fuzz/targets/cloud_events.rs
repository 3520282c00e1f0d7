//! CloudEvents: an accepted event keeps its fields, and its own JSON is accepted too.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_core::{CloudEvent, Event, IncomingCloudEvent, NewEvent};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(incoming) = serde_json::from_slice::<IncomingCloudEvent>(bytes) {
        if let Ok(event) = NewEvent::try_from(incoming) {
            assert!(!event.event_type.as_str().is_empty());
        }
    }
    if let Ok(cloud) = serde_json::from_slice::<CloudEvent>(bytes) {
        if let Ok(event) = Event::try_from(cloud) {
            let again = serde_json::to_string(&CloudEvent::from(&event)).expect("an event is JSON");
            let again = serde_json::from_str::<CloudEvent>(&again).expect("the JSON of an event is accepted");
            assert_eq!(Event::try_from(again), Ok(event));
        }
    }
});
