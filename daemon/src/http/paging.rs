//! Pages of lists: their length, and the cursor of the next page.

use super::problem::Problem;
use tidegate_core::Key;
use tidegate_ports::{Page, PageSize};

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// The most entries of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(u32);

impl Limit {
    pub(super) fn new(limit: Option<u32>) -> Result<Self, Problem> {
        match limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(Self(limit)),
            limit => Err(Problem::invalid(format!("limit must be from 1 to {LIMIT_MAX}, but is {limit}"))),
        }
    }

    /// The size of a page whose store cuts it.
    pub(super) fn size(self) -> PageSize {
        PageSize::of(self.0)
    }

    /// The number of rows to read: one more than the page has. The additional row shows that there
    /// is a next page.
    pub(super) fn and_one(self) -> u32 {
        self.0 + 1
    }

    /// The page, and the cursor of the next page if there is one.
    pub(super) fn cut<T>(self, mut found: Vec<T>, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let has_next = found.len() > self.0 as usize;
        found.truncate(self.0 as usize);
        let next = found.last().filter(|_| has_next).map(cursor);
        (found, next)
    }
}

/// The cursor of the page after `page`, if there is one.
pub(super) fn next<T>(page: &Page<T>, cursor: impl Fn(&T) -> String) -> Option<String> {
    page.items.last().filter(|_| page.has_more).map(cursor)
}

/// The number of a row that a cursor holds.
pub(super) fn row(cursor: Option<&str>) -> Result<Option<i64>, Problem> {
    cursor.map(|text| text.parse().map_err(|_| invalid_cursor(text))).transpose()
}

/// A key as a cursor. Hex digits need no escapes in a query.
pub(super) fn key_cursor(key: &Key) -> String {
    hex::encode(key.as_str())
}

/// The key that a cursor holds.
pub(super) fn key(cursor: Option<&str>) -> Result<Option<Key>, Problem> {
    cursor.map(|text| decode_key(text).ok_or_else(|| invalid_cursor(text))).transpose()
}

fn decode_key(cursor: &str) -> Option<Key> {
    let bytes = hex::decode(cursor).ok()?;
    Key::new(String::from_utf8(bytes).ok()?).ok()
}

fn invalid_cursor(text: &str) -> Problem {
    Problem::invalid(format!("the cursor {text:?} is not valid; use the cursor of an earlier page of the same list"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_decodes_to_its_key() {
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
