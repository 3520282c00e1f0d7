//! The JSON form of an [`Event`]: CloudEvents 1.0.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md>

use crate::event::{Event, NewEvent, Source};
use crate::json::Json;
use crate::names::{AppName, EventId, EventType, InvalidName, PrincipalId, Subject};
use crate::time::Timestamp;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An event in the form of CloudEvents 1.0. Tidegate adds the extensions `rootid`, `parentid`,
/// `triggerdepth`, `actor` and `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudEvent {
    /// The constant `1.0`.
    pub specversion: String,
    /// The UUID of the event.
    pub id: String,
    /// The path `/apps/{app}/{source}`.
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// Left out of the JSON if it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// RFC 3339 in UTC, with microseconds.
    pub time: String,
    /// The constant `application/json`.
    pub datacontenttype: String,
    /// The first event of the chain.
    pub rootid: String,
    /// The event whose handler emitted this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parentid: Option<String>,
    /// The distance from the first event of the chain, which has depth 0.
    pub triggerdepth: u32,
    /// The principal that caused the event.
    pub actor: String,
    /// The W3C trace context, as the CloudEvents extension for distributed tracing defines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    pub data: Json,
}

impl From<&Event> for CloudEvent {
    fn from(event: &Event) -> Self {
        Self {
            specversion: "1.0".to_owned(),
            id: event.id.to_string(),
            source: format!("/apps/{}/{}", event.app, event.source),
            event_type: event.event_type.to_string(),
            subject: event.subject.to_string(),
            time: event.time.to_rfc3339(),
            datacontenttype: "application/json".to_owned(),
            rootid: event.root_id.to_string(),
            parentid: event.parent_id.map(|id| id.to_string()),
            triggerdepth: event.depth,
            actor: event.actor.to_string(),
            traceparent: event.traceparent.clone(),
            data: event.data.clone(),
        }
    }
}

/// The reason why a JSON object is not a CloudEvent that Tidegate accepts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCloudEvent {
    /// The version of the specification is not 1.0.
    #[error("specversion {0:?} is not supported; send \"1.0\"")]
    SpecVersion(String),
    /// A name does not follow its rule.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The declared content type of the data is not JSON.
    #[error("datacontenttype {0:?} is not supported; send \"application/json\"")]
    ContentType(String),
    /// A required attribute is left out.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// The data is there twice.
    #[error("data and data_base64 exclude each other; send one of them")]
    TwoData,
    /// The binary data is not JSON.
    #[error("data_base64 {0}; events hold JSON, so send other bytes as a string in data")]
    DataBase64(String),
    /// An attribute does not parse.
    #[error("the attribute {0:?} is not valid")]
    Attribute(&'static str),
}

impl TryFrom<CloudEvent> for Event {
    type Error = InvalidCloudEvent;

    fn try_from(cloud: CloudEvent) -> Result<Self, InvalidCloudEvent> {
        check_envelope(&cloud.specversion, Some(&cloud.datacontenttype))?;
        let id = |text: &str, name| Uuid::parse_str(text).map(EventId).map_err(|_| InvalidCloudEvent::Attribute(name));
        let mut path = cloud.source.strip_prefix("/apps/").unwrap_or_default().splitn(2, '/');
        let (app, source) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
        Ok(Self {
            id: id(&cloud.id, "id")?,
            app: AppName::new(app)?,
            source: Source::from_name(source).ok_or(InvalidCloudEvent::Attribute("source"))?,
            event_type: EventType::new(cloud.event_type)?,
            subject: Subject::new(cloud.subject)?,
            time: Timestamp::from_rfc3339(&cloud.time).ok_or(InvalidCloudEvent::Attribute("time"))?,
            data: cloud.data,
            actor: PrincipalId::new(cloud.actor)?,
            root_id: id(&cloud.rootid, "rootid")?,
            parent_id: cloud.parentid.as_deref().map(|text| id(text, "parentid")).transpose()?,
            depth: cloud.triggerdepth,
            traceparent: cloud.traceparent,
        })
    }
}

/// A CloudEvent that a caller sends to be emitted. The store sets `id`, `source`, `time`, `rootid`,
/// `parentid` and `triggerdepth`. If the caller sends these or other extensions, they are ignored.
/// An attribute that is `null` counts as left out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct IncomingCloudEvent {
    /// Must be the text `1.0`.
    pub specversion: Option<String>,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    /// Empty if it is left out.
    pub subject: Option<String>,
    /// If it is given, it must be a JSON type.
    pub datacontenttype: Option<String>,
    /// JSON `null` if it is left out.
    pub data: Option<Json>,
    /// JSON in Base64, in place of `data`.
    pub data_base64: Option<String>,
}

impl TryFrom<IncomingCloudEvent> for NewEvent {
    type Error = InvalidCloudEvent;

    fn try_from(cloud: IncomingCloudEvent) -> Result<Self, InvalidCloudEvent> {
        let specversion = cloud.specversion.ok_or(InvalidCloudEvent::Missing("specversion"))?;
        check_envelope(&specversion, cloud.datacontenttype.as_deref())?;
        Ok(Self {
            event_type: EventType::new(cloud.event_type.ok_or(InvalidCloudEvent::Missing("type"))?)?,
            subject: Subject::new(cloud.subject.unwrap_or_default())?,
            data: match (cloud.data, cloud.data_base64) {
                (Some(_), Some(_)) => return Err(InvalidCloudEvent::TwoData),
                (Some(data), None) => data,
                (None, Some(base64)) => decode(&base64)?,
                (None, None) => Json::null(),
            },
        })
    }
}

/// The JSON in a `data_base64`.
fn decode(base64: &str) -> Result<Json, InvalidCloudEvent> {
    let invalid = |reason: String| InvalidCloudEvent::DataBase64(reason);
    let bytes = STANDARD.decode(base64).map_err(|error| invalid(format!("is not valid Base64 ({error})")))?;
    let text = String::from_utf8(bytes).map_err(|_| invalid("does not hold UTF-8 text".to_owned()))?;
    Json::parse(&text).map_err(|error| invalid(format!("does not hold JSON ({error})")))
}

fn check_envelope(specversion: &str, content_type: Option<&str>) -> Result<(), InvalidCloudEvent> {
    if specversion != "1.0" {
        return Err(InvalidCloudEvent::SpecVersion(specversion.to_owned()));
    }
    let content_type = content_type.unwrap_or("application/json");
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || essence.ends_with("+json") {
        Ok(())
    } else {
        Err(InvalidCloudEvent::ContentType(content_type.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event {
            id: EventId(Uuid::from_u128(1)),
            app: AppName::new("orders").unwrap(),
            source: Source::Kv,
            event_type: EventType::new("kv.set").unwrap(),
            subject: Subject::new("orders/1").unwrap(),
            time: Timestamp(1_795_449_083_000_042),
            data: Json::parse("{\"value\":1.0}").unwrap(),
            actor: PrincipalId::new("admin").unwrap(),
            root_id: EventId(Uuid::from_u128(1)),
            parent_id: Some(EventId(Uuid::from_u128(2))),
            depth: 3,
            traceparent: None,
        }
    }

    #[test]
    fn an_event_round_trips_through_json() {
        let wire = serde_json::to_string(&CloudEvent::from(&event())).unwrap();
        assert!(wire.contains(r#""specversion":"1.0""#) && wire.contains(r#""triggerdepth":3"#), "{wire}");
        assert!(wire.contains(r#""data":{"value":1.0}"#), "{wire}");
        assert_eq!(Event::try_from(serde_json::from_str::<CloudEvent>(&wire).unwrap()), Ok(event()));
    }

    #[test]
    fn attributes_that_the_store_sets_are_ignored() {
        let sent = r#"{"specversion":"1.0","id":"x","source":"s","type":"t","triggerdepth":9,"rootid":"y"}"#;
        let incoming: IncomingCloudEvent = serde_json::from_str(sent).unwrap();
        let event = NewEvent::try_from(incoming).unwrap();
        assert_eq!((event.event_type.as_str(), event.data.as_str()), ("t", "null"));
    }

    #[test]
    fn null_attributes_count_as_left_out() {
        let sent =
            r#"{"specversion":"1.0","type":"t","subject":null,"datacontenttype":null,"data":null,"data_base64":null}"#;
        let event = NewEvent::try_from(serde_json::from_str::<IncomingCloudEvent>(sent).unwrap()).unwrap();
        assert_eq!((event.subject.as_str(), event.data.as_str()), ("", "null"));
    }

    #[test]
    fn data_base64_must_hold_json() {
        let data = |fields: &str| {
            let sent = format!(r#"{{"specversion":"1.0","type":"t",{fields}}}"#);
            let event = NewEvent::try_from(serde_json::from_str::<IncomingCloudEvent>(&sent).unwrap());
            event.map(|event| event.data.to_string()).map_err(|error| error.to_string())
        };
        let rest = "; events hold JSON, so send other bytes as a string in data";
        for (fields, expected) in [
            (r#""data_base64":"eyJuIjogMS41MH0=""#, Ok(r#"{"n": 1.50}"#.to_owned())),
            (r#""data":null,"data_base64":"bnVsbA==""#, Ok("null".to_owned())),
            (
                r#""data":1,"data_base64":"MQ==""#,
                Err("data and data_base64 exclude each other; send one of them".to_owned()),
            ),
            (r#""data_base64":"eyJ""#, Err(format!("data_base64 is not valid Base64 (Invalid padding){rest}"))),
            (r#""data_base64":"/w==""#, Err(format!("data_base64 does not hold UTF-8 text{rest}"))),
            (
                r#""data_base64":"aGVsbG8=""#,
                Err(format!(
                    "data_base64 does not hold JSON (not valid JSON: expected value at line 1 column 1){rest}"
                )),
            ),
        ] {
            assert_eq!(data(fields), expected, "{fields}");
        }
    }

    #[test]
    fn unsupported_envelopes_are_refused() {
        let incoming = |json: &str| NewEvent::try_from(serde_json::from_str::<IncomingCloudEvent>(json).unwrap());
        assert_eq!(
            incoming(r#"{"specversion":"0.3","type":"t"}"#),
            Err(InvalidCloudEvent::SpecVersion("0.3".to_owned()))
        );
        assert!(matches!(incoming(r#"{"specversion":"1.0","type":""}"#), Err(InvalidCloudEvent::Name(_))));
        for (json, missing) in [(r#"{"type":"t"}"#, "specversion"), (r#"{"specversion":"1.0","type":null}"#, "type")] {
            assert_eq!(incoming(json), Err(InvalidCloudEvent::Missing(missing)));
        }
        assert_eq!(
            incoming(r#"{"specversion":"1.0","type":"t","datacontenttype":"text/xml"}"#),
            Err(InvalidCloudEvent::ContentType("text/xml".to_owned()))
        );
    }
}
