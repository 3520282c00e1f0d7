//! Lists in pages: how long one is, and where the next one begins.

use super::problem::Problem;
use tidegate_core::Key;

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// How many entries a page has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(u32);

impl Limit {
    pub(super) fn new(asked: Option<u32>) -> Result<Self, Problem> {
        match asked.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(Self(limit)),
            limit => Err(Problem::invalid(format!("limit must be from 1 to {LIMIT_MAX}, it is {limit}"))),
        }
    }

    /// What to ask a store for: one more than the page has, which tells whether there is another.
    pub(super) fn and_one(self) -> u32 {
        self.0 + 1
    }

    /// The page, and the cursor of the next one if there is another.
    pub(super) fn cut<T>(self, mut found: Vec<T>, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let is_more = found.len() > self.0 as usize;
        found.truncate(self.0 as usize);
        let next = found.last().filter(|_| is_more).map(cursor);
        (found, next)
    }
}

/// A row's number that an earlier page gave as its cursor.
pub(super) fn row(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    cursor.map(|text| text.parse().map_err(|_| unknown(text))).transpose()
}

/// A key as a cursor: in hex, so that it needs no escapes in a query.
pub(super) fn key_cursor(key: &Key) -> String {
    hex::encode(key.as_str())
}

/// The key that an earlier page gave as its cursor.
pub(super) fn key(cursor: Option<&str>) -> Result<Option<Key>, Problem> {
    cursor.map(|text| decode_key(text).ok_or_else(|| unknown(text))).transpose()
}

fn decode_key(cursor: &str) -> Option<Key> {
    let bytes = hex::decode(cursor).ok()?;
    Key::new(String::from_utf8(bytes).ok()?).ok()
}

fn unknown(text: &str) -> Problem {
    Problem::invalid(format!("cursor {text:?} is not one that a page of this list gave"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_as_a_cursor() {
        for text in ["a", "a/b c%&+", "ü\u{10ffff}"] {
            let key_of_page = Key::new(text).unwrap();
            assert_eq!(key(Some(&key_cursor(&key_of_page))), Ok(Some(key_of_page)));
        }
        for bad in ["", "6", "zz", "ff", "0a"] {
            assert!(key(Some(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        let limit = Limit::new(Some(2)).unwrap();
        let page = |found: Vec<i64>| limit.cut(found, i64::to_string);
        assert_eq!(page(vec![1, 2, 3]), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(page(vec![1, 2]), (vec![1, 2], None));
        assert_eq!(page(vec![]), (vec![], None));
    }
}
