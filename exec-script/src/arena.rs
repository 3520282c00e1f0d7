//! A fixed area of memory that can be restored to a snapshot of itself.
#![expect(unsafe_code, reason = "the arena hands out raw memory and overwrites it as a whole")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// The alignment of every block, the same as malloc's.
pub(crate) const ALIGN: usize = 16;
/// More than a runtime with the prelude needs. A larger runtime works, but no snapshot of it can be
/// taken.
const ARENA_BYTES: usize = 512 << 10;

/// Hands out blocks until its snapshot is taken, and none after that.
pub(crate) struct Arena {
    base: NonNull<u8>,
    used: usize,
    /// Blocks that were released before the snapshot, with their lengths. They are used first,
    /// because the snapshot copies everything below `used`.
    released: Vec<(NonNull<u8>, usize)>,
    snapshot: Option<Box<[u8]>>,
}

impl Arena {
    const LAYOUT: Layout = match Layout::from_size_align(ARENA_BYTES, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("ALIGN is a power of two"),
    };

    /// An empty arena. `None` if the system has no memory for it.
    pub(crate) fn new() -> Option<Self> {
        // SAFETY: the layout is not empty.
        let base = NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) })?;
        Some(Self { base, used: 0, released: Vec::new(), snapshot: None })
    }

    /// Bytes that were ever handed out.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// A block of `bytes`, with arbitrary content. `bytes` must be a multiple of [`ALIGN`]. `None`
    /// if the arena is full or has a snapshot.
    pub(crate) fn allocate(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        if self.snapshot.is_some() {
            return None;
        }
        if let Some((start, length)) = self.released.iter_mut().find(|(_, length)| *length >= bytes) {
            let block = *start;
            // SAFETY: the released block is at least `bytes` long.
            *start = unsafe { start.add(bytes) };
            *length -= bytes;
            return Some(block);
        }
        if bytes > ARENA_BYTES - self.used {
            return None;
        }
        // SAFETY: `used + bytes` lies within the arena.
        let block = unsafe { self.base.add(self.used) };
        self.used += bytes;
        Some(block)
    }

    /// Releases a block. After the snapshot this does nothing, because restoring the snapshot makes
    /// the block live again.
    pub(crate) fn release(&mut self, block: NonNull<u8>, bytes: usize) {
        if self.snapshot.is_none() {
            self.released.push((block, bytes));
        }
    }

    pub(crate) fn take_snapshot(&mut self) {
        // SAFETY: the arena was zeroed when it was made, so all of it is initialized.
        let used = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.used) };
        self.snapshot = Some(Box::from(used));
    }

    pub(crate) fn has_snapshot(&self) -> bool {
        self.snapshot.is_some()
    }

    /// Overwrites the arena with its snapshot, if it has one.
    ///
    /// # Safety
    ///
    /// No reference into the arena may be in use.
    pub(crate) unsafe fn restore(&mut self) {
        if let Some(snapshot) = &self.snapshot {
            // SAFETY: the snapshot is as long as the used part of the arena, and lies elsewhere.
            unsafe { std::ptr::copy_nonoverlapping(snapshot.as_ptr(), self.base.as_ptr(), snapshot.len()) };
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: `new` made it with this layout.
        unsafe { dealloc(self.base.as_ptr(), Self::LAYOUT) };
    }
}
