//! Runs statements. A connection prepares each statement once and caches it.

use crate::error::OrRefused;
use crate::sql;
use rusqlite::{Connection, OptionalExtension, Params, Row};
use tidegate_core::AppName;
use tidegate_ports::{Page, PageSize, PortError};

pub(crate) trait Query {
    /// Runs the statement and returns the number of changed rows.
    fn run(&self, statement: &'static str, params: impl Params) -> Result<usize, PortError>;
    /// Returns the first row. No row is an error.
    fn one<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, PortError>;
    /// Returns the first row, if the statement has one.
    fn maybe<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, PortError>;
    /// Returns all rows of the statement.
    fn all<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, PortError>;
    /// Reads rows one by one, and ends before the first one that does not fit.
    fn first<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        fits: impl FnMut(&T) -> bool,
    ) -> Result<Vec<T>, PortError>;
    /// Reads rows one by one until the page is full. The statement may return more rows.
    fn page<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        size: PageSize,
        bytes_of: impl Fn(&T) -> u64,
    ) -> Result<Page<T>, PortError>;
    /// Fails with [`PortError::UnknownApp`] if the app does not exist. Most calls of a port begin
    /// with this check.
    fn require_app(&self, app: &AppName) -> Result<(), PortError>;
}

/// Runs a statement without parameters, such as `commit`. The error is SQLite's own.
pub(crate) fn execute(connection: &Connection, statement: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute(()).map(drop)
}

impl Query for Connection {
    fn run(&self, statement: &'static str, params: impl Params) -> Result<usize, PortError> {
        self.prepare_cached(statement).and_then(|mut prepared| prepared.execute(params)).or_refused()
    }

    fn one<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, PortError> {
        self.prepare_cached(statement).and_then(|mut prepared| prepared.query_row(params, read)).or_refused()
    }

    fn maybe<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, PortError> {
        self.prepare_cached(statement).and_then(|mut prepared| prepared.query_row(params, read).optional()).or_refused()
    }

    fn all<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, PortError> {
        let mut prepared = self.prepare_cached(statement).or_refused()?;
        prepared.query_map(params, read).and_then(Iterator::collect).or_refused()
    }

    fn first<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        mut fits: impl FnMut(&T) -> bool,
    ) -> Result<Vec<T>, PortError> {
        let mut prepared = self.prepare_cached(statement).or_refused()?;
        let rows = prepared.query_map(params, read).or_refused()?;
        rows.take_while(|row| row.as_ref().map_or(true, &mut fits)).collect::<Result<_, _>>().or_refused()
    }

    fn page<T>(
        &self,
        statement: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        size: PageSize,
        bytes_of: impl Fn(&T) -> u64,
    ) -> Result<Page<T>, PortError> {
        let mut prepared = self.prepare_cached(statement).or_refused()?;
        prepared.query_map(params, read).and_then(|rows| Page::read(rows, size, bytes_of)).or_refused()
    }

    fn require_app(&self, app: &AppName) -> Result<(), PortError> {
        let exists = self.one(sql::app_exists, [app.as_str()], |row| row.get(0))?;
        if exists { Ok(()) } else { Err(PortError::UnknownApp) }
    }
}
