use super::problems::Problems;
use crate::config::did_you_mean;
use std::fmt::Display;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The keys of one TOML table. A wrong value is reported with its line, and then treated as
/// missing.
#[derive(Clone, Debug)]
pub(super) struct Fields<'t> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    /// The beginning of each message, such as `trigger "receipt": `.
    place: String,
    problems: &'t Problems<'t>,
}

impl<'t> Fields<'t> {
    pub(super) fn root(table: &'t DeTable<'t>, problems: &'t Problems<'t>) -> Self {
        Self { table, span: 0..0, place: String::new(), problems }
    }

    pub(super) fn new(table: &'t DeTable<'t>, span: Range<usize>, place: &str, problems: &'t Problems<'t>) -> Self {
        Self { table, span, place: format!("{place}: "), problems }
    }

    /// The table at `key`. Its messages begin with `place`.
    pub(super) fn table(&self, key: &str, place: &str) -> Option<Self> {
        match self.table.get(key)?.get_ref() {
            DeValue::Table(table) => Some(Self::new(table, self.key_span(key), place, self.problems)),
            other => self.report_type(key, "a table", other),
        }
    }

    pub(super) fn place(&self) -> &str {
        self.place.trim_end_matches(": ")
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<&'t str> {
        match self.table.get(key)?.get_ref() {
            DeValue::String(text) => Some(text.as_ref()),
            other => self.report_type(key, "a string", other),
        }
    }

    /// Parses the text at `key`.
    pub(super) fn parse<T, E: Display>(&self, key: &str, parse: impl Fn(String) -> Result<T, E>) -> Option<T> {
        let text = self.text(key)?;
        parse(text.to_owned()).map_err(|error| self.report(key, &error.to_string())).ok()
    }

    /// Parses the text at `key`. A missing key is a problem.
    pub(super) fn parse_required<T, E: Display>(&self, key: &str, parse: impl Fn(String) -> Result<T, E>) -> Option<T> {
        if !self.has(key) {
            self.report_missing(key);
        }
        self.parse(key, parse)
    }

    /// The number at `key`, from 0 to 2^64-1.
    pub(super) fn number(&self, key: &str) -> Option<u64> {
        match self.table.get(key)?.get_ref() {
            DeValue::Integer(number) => match u64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Some(number),
                Err(_) => self.report_and_none(key, &format!("must be a whole number from 0, it is {number}")),
            },
            other => self.report_type(key, "a whole number", other),
        }
    }

    /// The number at `key`, with or without a fraction.
    pub(super) fn fraction(&self, key: &str) -> Option<f64> {
        let value = self.table.get(key)?.get_ref();
        let text = match value {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            other => return self.report_type(key, "a number", other),
        };
        match text.parse() {
            Ok(number) => Some(number),
            Err(_) => self.report_type(key, "a number", value),
        }
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        match self.table.get(key)?.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            other => self.report_type(key, "true or false", other),
        }
    }

    /// The list of strings at `key`.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<&'t str>> {
        let value = self.table.get(key)?.get_ref();
        let texts = value.as_array().and_then(|items| items.iter().map(|item| item.get_ref().as_str()).collect());
        if texts.is_none() { self.report_type(key, "a list of strings", value) } else { texts }
    }

    /// Reports each key that is not in `known`.
    pub(super) fn refuse_unknown(&self, known: &[&str]) {
        self.refuse_unknown_or(known, |_| None);
    }

    /// Reports each key that is not in `known`, with the message of `explain` if it returns one.
    pub(super) fn refuse_unknown_or(&self, known: &[&str], explain: impl Fn(&str) -> Option<String>) {
        for key in self.table.keys().map(|key| key.get_ref().as_ref()).filter(|key| !known.contains(key)) {
            let message = explain(key).unwrap_or_else(|| format!("unknown key `{key}`; {}", did_you_mean(key, known)));
            self.problems.at(&self.key_span(key), format!("{}{message}", self.place));
        }
    }

    /// Reports a problem with the value at `key`. A missing key is reported at the line of the
    /// table.
    pub(super) fn report(&self, key: &str, message: &str) {
        self.problems.at(&self.key_span(key), format!("{}{key}: {message}", self.place));
    }

    pub(super) fn report_missing(&self, key: &str) {
        self.problems.at(&self.span, format!("{}`{key}` is missing", self.place));
    }

    /// Reports a problem with the table as a whole.
    pub(super) fn report_table(&self, message: &str) {
        self.problems.at(&self.span, format!("{}{message}", self.place));
    }

    fn report_and_none<T>(&self, key: &str, message: &str) -> Option<T> {
        self.report(key, message);
        None
    }

    fn report_type<T>(&self, key: &str, wanted: &str, found: &DeValue<'_>) -> Option<T> {
        self.report_and_none(key, &format!("must be {wanted}, it is of the type {}", found.type_str()))
    }

    fn key_span(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.span.clone(), |(key, _)| Spanned::span(key))
    }
}
