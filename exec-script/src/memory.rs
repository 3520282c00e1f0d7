//! The allocator of one QuickJS runtime. It limits the bytes, and can restore the runtime to a
//! snapshot.
//!
//! QuickJS throws null when it has no memory for an error object. The allocator knows whether it
//! has refused a block, and so tells the end of the memory from a script that throws null.
//!
//! QuickJS keeps all of its state in memory that it gets from its allocator. Blocks that it
//! allocates before the snapshot lie in an [`Arena`], which keeps a copy of itself. Restoring frees
//! all later blocks and copies the arena back. The runtime is then byte for byte as it was at the
//! snapshot. That costs a twentieth of freeing a runtime and making another one.
#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use crate::arena::{ALIGN, Arena};
use rquickjs::allocator::Allocator;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;

/// The `index` of a block that lies in the arena.
const IN_ARENA: usize = usize::MAX;

/// The header in front of each block.
#[repr(C)]
struct Header {
    /// The length of the block in bytes, without the header.
    size: usize,
    /// The block's index in [`State::blocks`], or [`IN_ARENA`].
    index: usize,
}

const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES.is_multiple_of(ALIGN), "the block after an aligned header is aligned");

/// Shared by a runtime, which allocates from it, and the isolate that owns the runtime.
#[derive(Clone)]
pub(crate) struct Memory(Rc<RefCell<State>>);

struct State {
    /// The most bytes inside and outside of the arena together.
    bytes_max: usize,
    /// Whether a block was refused since the start of the execution.
    is_exhausted: bool,
    /// Bytes that the host holds for the current execution, outside of the runtime.
    host_bytes: usize,
    /// Bytes of all blocks outside of the arena.
    heap_bytes: usize,
    arena: Option<Arena>,
    /// Every block outside of the arena, so that all of them can be freed without help from
    /// QuickJS.
    blocks: Vec<NonNull<Header>>,
}

impl Memory {
    /// Memory of at most `bytes_max`, without snapshots.
    pub(crate) fn new(bytes_max: usize) -> Self {
        let state =
            State { bytes_max, is_exhausted: false, host_bytes: 0, heap_bytes: 0, arena: None, blocks: Vec::new() };
        Self(Rc::new(RefCell::new(state)))
    }

    /// Memory of which a snapshot can be taken. `None` if the system has no memory for the arena.
    pub(crate) fn with_arena(bytes_max: usize) -> Option<Self> {
        let memory = Self::new(bytes_max);
        memory.0.borrow_mut().arena = Some(Arena::new()?);
        Some(memory)
    }

    /// The bytes that were requested from the system, including garbage and unused space within
    /// blocks.
    pub(crate) fn bytes(&self) -> usize {
        self.0.borrow().bytes()
    }

    /// Begins an execution, which has been refused no block yet, and for which the host holds
    /// nothing.
    pub(crate) fn begin(&self) {
        let mut state = self.0.borrow_mut();
        state.is_exhausted = false;
        state.host_bytes = 0;
    }

    /// Counts `bytes` as held by the host for the execution, instead of the bytes before. Returns
    /// `false` and changes nothing if they exceed the limit.
    pub(crate) fn hold(&self, bytes: usize) -> bool {
        let mut state = self.0.borrow_mut();
        let fits = bytes <= state.bytes_max.saturating_sub(state.bytes());
        if fits {
            state.host_bytes = bytes;
        }
        fits
    }

    /// The bytes that the execution and the host may still use.
    pub(crate) fn left(&self) -> usize {
        self.0.borrow().left()
    }

    /// Whether a block was refused since the start of the execution.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.0.borrow().is_exhausted
    }

    /// Takes a snapshot. Returns `false` if that is not possible: there is no arena, or some blocks
    /// did not fit into it.
    pub(crate) fn take_snapshot(&self) -> bool {
        let State { arena, blocks, .. } = &mut *self.0.borrow_mut();
        match arena {
            Some(arena) if blocks.is_empty() => {
                arena.take_snapshot();
                true
            }
            _ => false,
        }
    }

    /// Restores the snapshot, if there is one.
    ///
    /// # Safety
    ///
    /// The runtime must not be running. The handles to its values must be exactly those that
    /// existed at the snapshot. The closures behind the runtime's Rust functions, which lie outside
    /// of this memory, must be the same as at the snapshot too.
    pub(crate) unsafe fn restore(&self) {
        let mut state = self.0.borrow_mut();
        let State { heap_bytes, arena: Some(arena), blocks, .. } = &mut *state else { return };
        if !arena.has_snapshot() {
            return;
        }
        for block in blocks.drain(..) {
            // SAFETY: the block is in the list, so it was not freed yet.
            unsafe { free(block) };
        }
        // SAFETY: the caller guarantees that nothing uses the runtime.
        unsafe { arena.restore() };
        *heap_bytes = 0;
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.heap_bytes + self.arena.as_ref().map_or(0, Arena::used)
    }

    fn left(&self) -> usize {
        self.bytes_max.saturating_sub(self.bytes() + self.host_bytes)
    }

    /// `None` if `more` bytes exceed the limit.
    fn check_limit(&mut self, more: usize) -> Option<()> {
        let fits = more <= self.left();
        self.is_exhausted |= !fits;
        fits.then_some(())
    }

    fn allocate(&mut self, size: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let layout = layout_of(size)?;
        self.check_limit(layout.size())?;
        let system_alloc = if zeroed { alloc_zeroed } else { alloc };
        let (block, index) = match self.arena.as_mut().and_then(|arena| arena.allocate(layout.size())) {
            Some(block) => (block, IN_ARENA),
            // SAFETY: the layout is not empty: it contains a header.
            None => (NonNull::new(unsafe { system_alloc(layout) })?, self.blocks.len()),
        };
        let header = block.cast::<Header>();
        if index != IN_ARENA {
            self.blocks.push(header);
            self.heap_bytes += layout.size();
        } else if zeroed {
            // SAFETY: the arena's block is `layout.size()` bytes long.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        // SAFETY: the block is `layout.size()` bytes long and aligned. The arena hands out
        // multiples of the alignment.
        unsafe {
            header.write(Header { size: layout.size() - HEADER_BYTES, index });
            Some(block.add(HEADER_BYTES))
        }
    }

    /// # Safety
    ///
    /// `block` was allocated here and not released.
    unsafe fn release(&mut self, block: NonNull<Header>) {
        // SAFETY: the caller guarantees that there is a header.
        let Header { size, index } = unsafe { block.read() };
        if let (IN_ARENA, Some(arena)) = (index, &mut self.arena) {
            return arena.release(block.cast(), HEADER_BYTES + size);
        }
        self.heap_bytes -= HEADER_BYTES + size;
        self.blocks.swap_remove(index);
        if let Some(moved) = self.blocks.get(index) {
            // SAFETY: a block in the list was not freed yet.
            unsafe { (*moved.as_ptr()).index = index };
        }
        // SAFETY: the block is no longer in the list, so it is freed once.
        unsafe { free(block) };
    }

    /// # Safety
    ///
    /// `block` was allocated here and not released. If a block is returned, it replaces `block`.
    unsafe fn resize(&mut self, block: NonNull<Header>, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: the caller guarantees that there is a header, and `size` bytes after it.
        let Header { size: old, index } = unsafe { block.read() };
        let content = unsafe { block.cast::<u8>().add(HEADER_BYTES) };
        if index == IN_ARENA {
            if size <= old {
                return Some(content);
            }
            let new = self.allocate(size, false)?;
            // SAFETY: the new block is longer than `old` bytes and does not overlap.
            unsafe { std::ptr::copy_nonoverlapping(content.as_ptr(), new.as_ptr(), old) };
            // SAFETY: the old block was not released yet and is not used any more.
            unsafe { self.release(block) };
            return Some(new);
        }
        let layout = layout_of(size)?;
        self.check_limit((layout.size() - HEADER_BYTES).saturating_sub(old))?;
        // SAFETY: the block was made with the layout of its size, and the new size is not zero.
        let new = unsafe { realloc(block.as_ptr().cast(), layout_of(old)?, layout.size()) };
        let new = NonNull::new(new)?.cast::<Header>();
        self.heap_bytes = self.heap_bytes - old + (layout.size() - HEADER_BYTES);
        self.blocks[index] = new;
        // SAFETY: the new block is `layout.size()` bytes long.
        unsafe {
            new.write(Header { size: layout.size() - HEADER_BYTES, index });
            Some(new.cast::<u8>().add(HEADER_BYTES))
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for block in self.blocks.drain(..) {
            // SAFETY: the block is in the list, so it was not freed yet. The runtime was dropped
            // before.
            unsafe { free(block) };
        }
    }
}

/// The layout of a block with its header.
fn layout_of(size: usize) -> Option<Layout> {
    Some(Layout::from_size_align(size.checked_add(HEADER_BYTES)?, ALIGN).ok()?.pad_to_align())
}

/// # Safety
///
/// `block` does not lie in the arena and was not freed.
unsafe fn free(block: NonNull<Header>) {
    // SAFETY: the block was made with the layout of its size, so that layout is valid.
    unsafe {
        let layout = Layout::from_size_align_unchecked(HEADER_BYTES + (*block.as_ptr()).size, ALIGN);
        dealloc(block.as_ptr().cast(), layout);
    }
}

/// The header of a block that QuickJS has.
///
/// # Safety
///
/// `content` was allocated here and not released.
unsafe fn header_of(content: *mut u8) -> NonNull<Header> {
    // SAFETY: each block follows its header.
    unsafe { NonNull::new_unchecked(content.sub(HEADER_BYTES).cast()) }
}

fn raw(content: Option<NonNull<u8>>) -> *mut u8 {
    content.map_or(null_mut(), NonNull::as_ptr)
}

// SAFETY: each block is at least as long as requested, aligned at least as strictly as required,
// and in use only once.
unsafe impl Allocator for Memory {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        raw(self.0.borrow_mut().allocate(size, false))
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        raw(count.checked_mul(size).and_then(|size| self.0.borrow_mut().allocate(size, true)))
    }

    unsafe fn dealloc(&mut self, content: *mut u8) {
        // SAFETY: QuickJS releases only blocks that it got here, each once.
        unsafe { self.0.borrow_mut().release(header_of(content)) }
    }

    unsafe fn realloc(&mut self, content: *mut u8, size: usize) -> *mut u8 {
        if content.is_null() {
            return self.alloc(size);
        }
        // SAFETY: QuickJS resizes only blocks that it got here and did not release.
        unsafe { raw(self.0.borrow_mut().resize(header_of(content), size)) }
    }

    unsafe fn usable_size(content: *mut u8) -> usize {
        // SAFETY: QuickJS passes only blocks that it got here and did not release.
        unsafe { header_of(content).as_ref().size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(content: *mut u8, byte: u8, bytes: usize) {
        // SAFETY: callers have allocated at least `bytes`.
        unsafe { content.write_bytes(byte, bytes) };
    }

    fn read(content: *mut u8, bytes: usize) -> Vec<u8> {
        // SAFETY: callers have allocated and written at least `bytes`.
        unsafe { std::slice::from_raw_parts(content, bytes).to_vec() }
    }

    #[test]
    fn a_restore_brings_back_the_snapshot_and_frees_later_blocks() {
        let mut memory = Memory::with_arena(usize::MAX).expect("there is memory");
        let (a, b) = (memory.alloc(100), memory.alloc(1_000));
        write(a, 1, 100);
        write(b, 2, 1_000);
        assert!(memory.take_snapshot());
        let bytes_at_snapshot = memory.bytes();
        for _ in 0..3 {
            let later: Vec<*mut u8> = (0..10).map(|_| memory.alloc(5_000)).collect();
            // SAFETY: each block is released once.
            unsafe {
                memory.dealloc(later[2]);
                memory.dealloc(later[9]);
                let grown = memory.realloc(b, 9_000);
                assert_eq!(read(grown, 1_000), [2; 1_000], "a resized block keeps its content");
                memory.dealloc(a);
            }
            write(a, 7, 100);
            write(b, 8, 1_000);
            assert!(memory.bytes() > bytes_at_snapshot + 8 * 5_000 + 9_000);
            // SAFETY: no later block is used after it.
            unsafe { memory.restore() };
            assert_eq!(memory.bytes(), bytes_at_snapshot);
            assert_eq!((read(a, 100), read(b, 1_000)), (vec![1; 100], vec![2; 1_000]));
        }
    }

    #[test]
    fn every_byte_is_counted_when_blocks_are_released_in_any_order() {
        let mut memory = Memory::new(usize::MAX);
        let mut blocks: Vec<*mut u8> = (1..=50).map(|n| memory.alloc(n * 100)).collect();
        for (n, block) in blocks.iter_mut().enumerate() {
            write(*block, n as u8, 100);
            // SAFETY: the returned block replaces it.
            *block = unsafe { memory.realloc(*block, 20_000 - n * 100) };
        }
        assert!(memory.bytes() > 50 * 15_000);
        while !blocks.is_empty() {
            let block = blocks.swap_remove(blocks.len() / 3);
            let first = read(block, 100);
            assert!(first.iter().all(|byte| *byte == first[0]), "no other block overlaps");
            // SAFETY: the block is released once.
            unsafe { memory.dealloc(block) };
        }
        assert_eq!(memory.bytes(), 0);
    }

    #[test]
    fn a_block_beyond_the_limit_is_refused_and_remembered() {
        for arena in [false, true] {
            let mut memory =
                if arena { Memory::with_arena(10_000).expect("there is memory") } else { Memory::new(10_000) };
            let small = memory.alloc(4_000);
            assert!(!small.is_null() && !memory.is_exhausted());
            assert!(memory.alloc(6_000).is_null() && memory.is_exhausted());
            memory.begin();
            // SAFETY: the block is not released, and a refused resize leaves it as it was.
            assert!(unsafe { memory.realloc(small, 11_000) }.is_null() && memory.is_exhausted());
            memory.begin();
            assert!(!memory.alloc(4_000).is_null() && !memory.is_exhausted(), "the rest can still be used");
        }
    }

    #[test]
    fn bytes_of_the_host_count_until_the_next_execution() {
        let mut memory = Memory::new(10_000);
        assert!(memory.hold(6_000) && !memory.hold(10_001) && memory.left() == 4_000);
        assert!(memory.alloc(5_000).is_null() && memory.bytes() == 0);
        assert!(memory.hold(1_000), "the bytes replace those before");
        assert!(!memory.alloc(5_000).is_null());
        memory.begin();
        assert!(!memory.alloc(4_000).is_null());
    }

    #[test]
    fn zeroed_memory_is_zero_in_the_arena_and_outside() {
        let mut memory = Memory::with_arena(usize::MAX).expect("there is memory");
        for bytes in [10, 1_000, 600_000] {
            assert_eq!(read(memory.calloc(bytes, 1), bytes), vec![0; bytes]);
        }
        assert!(!memory.take_snapshot(), "the last block did not fit into the arena");
        assert!(memory.alloc(usize::MAX).is_null() && memory.calloc(usize::MAX, 2).is_null());
    }
}
