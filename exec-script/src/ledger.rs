//! How many isolates wait warm in this process, and what they hold together.
//!
//! An isolate belongs to its thread, and nobody else may touch it. So the ledger only knows of it: whoever puts one more
//! in strikes out those whose last execution is longest ago, and wakes their threads, which drop them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Thread;

pub(crate) struct Ledger {
    book: Mutex<Book>,
    isolates_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Book {
    /// By number, which grows: the first one waits for longest.
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    last: u64,
}

struct Entry {
    bytes: usize,
    owner: Thread,
}

impl Book {
    fn strike(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

impl Ledger {
    pub(crate) fn new(isolates_max: usize, bytes_max: usize) -> Self {
        Self { book: Mutex::default(), isolates_max, bytes_max }
    }

    /// Enters an isolate of the calling thread; the number that it has while it is in. `None` if it alone is too big.
    pub(crate) fn enter(&self, bytes: usize) -> Option<u64> {
        if self.isolates_max == 0 || bytes > self.bytes_max {
            return None;
        }
        let mut book = self.lock();
        while book.entries.len() >= self.isolates_max || book.bytes + bytes > self.bytes_max {
            let (&first, _) = book.entries.first_key_value()?;
            if let Some(struck) = book.strike(first) {
                struck.owner.unpark();
            }
        }
        book.last += 1;
        let number = book.last;
        book.bytes += bytes;
        book.entries.insert(number, Entry { bytes, owner: std::thread::current() });
        Some(number)
    }

    /// Takes an isolate out; whether it was still in.
    pub(crate) fn leave(&self, number: u64) -> bool {
        self.lock().strike(number).is_some()
    }

    /// Whether an isolate is still in.
    pub(crate) fn still_in(&self, number: u64) -> bool {
        self.lock().entries.contains_key(&number)
    }

    /// How many isolates, and how many bytes.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let book = self.lock();
        (book.entries.len(), book.bytes)
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        // Each change is whole before anything can panic.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
