//! Routes of HTTP triggers: a method and a path with parameters.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// An HTTP method in upper case, or `*` for all methods.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RouteMethod(String);

/// A path such as `/orders/{id}`. A segment is literal, or a parameter that matches one segment.
/// The last segment may be `{name...}`, which matches the rest of the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoutePath {
    text: String,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Literal(String),
    Param(String),
    Rest(String),
}

/// The reason why a text is not a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRoute {
    #[error("the method {0:?} is not valid: write one in upper case such as GET or POST, or * for all")]
    Method(String),
    #[error("the path {path:?} is not valid: {rule}")]
    Path {
        path: String,
        /// The rule that the path breaks.
        rule: &'static str,
    },
}

/// The most bytes of a route's path.
const PATH_BYTES_MAX: usize = 512;

impl RouteMethod {
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRoute> {
        let text = text.into();
        let is_method = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if text == "*" || is_method { Ok(Self(text)) } else { Err(InvalidRoute::Method(text)) }
    }

    /// Whether a request with this method belongs to the route.
    #[must_use]
    pub fn matches(&self, method: &str) -> bool {
        self.0 == "*" || self.0 == method
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RoutePath {
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidRoute> {
        let text = text.into();
        let parsed = match text.strip_prefix('/') {
            None => Err("it must begin with /"),
            Some(_) if text.len() > PATH_BYTES_MAX => Err("it is longer than 512 bytes"),
            Some(_) if text.chars().any(|c| c.is_control() || matches!(c, '?' | '#' | '%')) => {
                Err("it must contain no control characters and none of ? # %")
            }
            Some(rest) => segments(rest),
        };
        match parsed {
            Ok(segments) => Ok(Self { text, segments }),
            Err(rule) => Err(InvalidRoute::Path { path: text, rule }),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The values of the parameters, or `None` if the route does not match. `path` is the path of
    /// the request, split into decoded segments.
    #[must_use]
    pub fn params(&self, path: &[String]) -> Option<BTreeMap<String, String>> {
        let mut params = BTreeMap::new();
        let mut left = path;
        for segment in &self.segments {
            if let Segment::Rest(name) = segment {
                params.insert(name.clone(), left.join("/"));
                return Some(params);
            }
            let (first, rest) = left.split_first()?;
            left = rest;
            match segment {
                Segment::Literal(text) if text == first => {}
                Segment::Param(name) if !first.is_empty() => {
                    params.insert(name.clone(), first.clone());
                }
                _ => return None,
            }
        }
        left.is_empty().then_some(params)
    }

    /// Whether both routes match the same paths: the names of parameters do not count.
    #[must_use]
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let is_same = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(one), Segment::Literal(other)) => one == other,
            (Segment::Param(_), Segment::Param(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(is_same)
    }

    /// A literal segment that looks like a parameter of another syntax: `:id`, `<id>`, `[id]` or
    /// `*`.
    #[must_use]
    pub fn foreign_parameter(&self) -> Option<&str> {
        self.segments.iter().find_map(|segment| match segment {
            Segment::Literal(text) => {
                let is_foreign = (text.starts_with(':') && text.len() > 1)
                    || (text.starts_with('<') && text.ends_with('>'))
                    || (text.starts_with('[') && text.ends_with(']'))
                    || text.starts_with('*');
                is_foreign.then_some(text.as_str())
            }
            Segment::Param(_) | Segment::Rest(_) => None,
        })
    }

    /// A key that orders routes which match the same path. The route that is literal further to the
    /// left has the lower rank and wins.
    #[must_use]
    pub fn rank(&self) -> Vec<u8> {
        let rank = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::Param(_) => 1,
            Segment::Rest(_) => 2,
        };
        self.segments.iter().map(rank).collect()
    }
}

fn segments(rest: &str) -> Result<Vec<Segment>, &'static str> {
    let mut segments = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    let parts: Vec<&str> = rest.split('/').collect();
    for (n, part) in parts.iter().enumerate() {
        let Some(inner) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            if part.contains(['{', '}']) {
                return Err("a parameter takes a whole segment: write /{name}/");
            }
            segments.push(Segment::Literal((*part).to_owned()));
            continue;
        };
        let rest_of = inner.strip_suffix("...");
        let name = rest_of.unwrap_or(inner);
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err("the name of a parameter consists of letters, digits and _");
        }
        if !names.insert(name) {
            return Err("two parameters have the same name");
        }
        if rest_of.is_some() && n + 1 < parts.len() {
            return Err("{name...} takes the rest of the path and must be the last segment");
        }
        let name = name.to_owned();
        segments.push(if rest_of.is_some() { Segment::Rest(name) } else { Segment::Param(name) });
    }
    Ok(segments)
}

macro_rules! text_conversions {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = InvalidRoute;
            fn try_from(text: String) -> Result<Self, InvalidRoute> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(route: $type) -> Self {
                route.as_str().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

text_conversions!(RouteMethod);
text_conversions!(RoutePath);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn a_path_matches_with_its_parameters() {
        for (route, request, expected) in [
            ("/", "", Some(vec![])),
            ("/orders", "orders", Some(vec![])),
            ("/orders", "orders/", None),
            ("/orders", "Orders", None),
            ("/orders/{id}", "orders/7", Some(vec![("id", "7")])),
            ("/orders/{id}", "orders/a b/ü", None),
            ("/orders/{id}", "orders/", None),
            ("/{a}/x/{b}", "1/x/2", Some(vec![("a", "1"), ("b", "2")])),
            ("/files/{path...}", "files/a/b.txt", Some(vec![("path", "a/b.txt")])),
            ("/files/{path...}", "files", Some(vec![("path", "")])),
            ("/{all...}", "", Some(vec![("all", "")])),
        ] {
            let params = RoutePath::new(route).unwrap().params(&path(request));
            let expected = expected.map(|list| list.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
            assert_eq!(params, expected, "{route} for {request:?}");
        }
    }

    #[test]
    fn the_more_literal_route_has_the_lower_rank() {
        let mut routes = ["/{all...}", "/a/{id}", "/{a}/b", "/a/b"].map(|text| RoutePath::new(text).unwrap());
        routes.sort_by_key(RoutePath::rank);
        assert_eq!(routes.map(String::from), ["/a/b", "/a/{id}", "/{a}/b", "/{all...}"]);
    }

    #[test]
    fn routes_that_match_the_same_paths_are_equivalent() {
        let route = |text: &str| RoutePath::new(text).unwrap();
        for (one, other, expected) in [
            ("/a/{id}", "/a/{name}", true),
            ("/a/{rest...}", "/a/{all...}", true),
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a/{id}", "/a/b", false),
            ("/a/{id}", "/a/{id...}", false),
        ] {
            assert_eq!(route(one).is_equivalent(&route(other)), expected, "{one} {other}");
        }
    }

    #[test]
    fn parameters_of_other_syntaxes_are_found() {
        for (route, segment) in [
            ("/a/{id}", None),
            ("/a:b/c*", None),
            ("/a/:id", Some(":id")),
            ("/<int:id>", Some("<int:id>")),
            ("/[id]", Some("[id]")),
            ("/files/*", Some("*")),
            ("/files/*path", Some("*path")),
        ] {
            assert_eq!(RoutePath::new(route).unwrap().foreign_parameter(), segment, "{route}");
        }
    }

    #[test]
    fn invalid_routes_are_refused() {
        for bad in ["", "a", "/a{b}", "/{}", "/{a b}", "/{a}/{a}", "/{a...}/b", "/a?b", "/%2F", "/\n"] {
            assert!(RoutePath::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "get", "GET ", "**", "ABCDEFGHIJKLMNOPQ"] {
            assert!(RouteMethod::new(bad).is_err(), "{bad:?}");
        }
        assert!(RouteMethod::new("*").unwrap().matches("PATCH"));
        assert!(!RouteMethod::new("GET").unwrap().matches("POST"));
    }

    proptest! {
        #[test]
        fn a_valid_route_is_serialized_as_it_was_written(text in "/[a-z{}./]{0,20}") {
            if let Ok(route) = RoutePath::new(text.clone()) {
                prop_assert_eq!(serde_json::to_value(&route).unwrap(), serde_json::json!(text));
            }
        }
    }
}
