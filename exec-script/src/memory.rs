//! The memory of one runtime: counted, and put back as it was if it was sealed.
//!
//! QuickJS keeps nothing outside of what it asks its allocator for, so its runtime is a handful of blocks. Those that it
//! asks for before the seal lie side by side on the ground, of which the seal makes a copy. Putting it back frees all
//! blocks that came later and copies the ground back: the runtime is, byte for byte, what it was at the seal. That costs
//! a twentieth of freeing a runtime and making another one.
#![expect(unsafe_code, reason = "an allocator hands out raw memory, and what was sealed is overwritten as a whole")]

use rquickjs::allocator::Allocator;
use std::alloc::{Layout, alloc, alloc_zeroed, dealloc, realloc};
use std::cell::RefCell;
use std::ptr::{NonNull, null_mut};
use std::rc::Rc;

/// More than a runtime with the prelude takes. A runtime that takes more works, but cannot be sealed.
const GROUND_BYTES: usize = 512 << 10;
/// As malloc aligns.
const ALIGN: usize = 16;
/// Where a block is that lies on the ground.
const GROUND: usize = usize::MAX;

/// What stands in front of each block.
#[repr(C)]
struct Header {
    /// Bytes that follow.
    size: usize,
    /// Its index in [`State::blocks`], or [`GROUND`].
    place: usize,
}

const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES.is_multiple_of(ALIGN), "what follows a header is aligned as the header is");

/// A runtime allocates from it, and its isolate asks it.
#[derive(Clone)]
pub(crate) struct Memory(Rc<RefCell<State>>);

struct State {
    /// Bytes of all blocks that do not lie on the ground.
    held: usize,
    ground: Option<Ground>,
    /// Each block that does not lie on the ground, so that all of them can be freed without asking QuickJS.
    blocks: Vec<NonNull<Header>>,
}

struct Ground {
    base: NonNull<u8>,
    used: usize,
    /// What came back before the seal, for the next blocks: where, and how long. The less is used, the less is copied.
    holes: Vec<(NonNull<u8>, usize)>,
    copy: Option<Box<[u8]>>,
}

impl Memory {
    /// Memory that is only counted.
    pub(crate) fn new() -> Self {
        Self(Rc::new(RefCell::new(State { held: 0, ground: None, blocks: Vec::new() })))
    }

    /// Memory that can be sealed. `None` if there is not so much.
    pub(crate) fn with_ground() -> Option<Self> {
        let memory = Self::new();
        memory.0.borrow_mut().ground = Some(Ground::new()?);
        Some(memory)
    }

    /// What it holds, in bytes: what the system was asked for, garbage and free room within blocks included.
    pub(crate) fn held(&self) -> usize {
        let state = self.0.borrow();
        state.held + state.ground.as_ref().map_or(0, |ground| ground.used)
    }

    /// Remembers it as it is; whether it can be put back from now on.
    pub(crate) fn seal(&self) -> bool {
        let State { ground, blocks, .. } = &mut *self.0.borrow_mut();
        match ground {
            Some(ground) if blocks.is_empty() => {
                ground.seal();
                true
            }
            _ => false,
        }
    }

    /// Makes it again what it was when it was sealed, if it was.
    ///
    /// # Safety
    ///
    /// The runtime must not be running, and of the handles to its values exactly those must exist that existed at the
    /// seal. What the runtime owns outside of this memory, which is the closures behind its Rust functions, must be the
    /// same as at the seal too.
    pub(crate) unsafe fn put_back(&self) {
        let mut state = self.0.borrow_mut();
        let State { held, ground: Some(ground), blocks } = &mut *state else { return };
        let Ground { base, used, copy: Some(copy), .. } = ground else { return };
        for block in blocks.drain(..) {
            // SAFETY: it is in the list, so it was not freed yet.
            unsafe { free(block) };
        }
        // SAFETY: the ground is longer than what was copied of it, and a box lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(copy.as_ptr(), base.as_ptr(), *used) };
        *held = 0;
    }
}

impl Ground {
    const LAYOUT: Layout = match Layout::from_size_align(GROUND_BYTES, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a power of two"),
    };

    fn new() -> Option<Self> {
        // SAFETY: the layout is not empty.
        let base = NonNull::new(unsafe { alloc_zeroed(Self::LAYOUT) })?;
        Some(Self { base, used: 0, holes: Vec::new(), copy: None })
    }

    /// So many bytes, whatever they hold. None are given out after the seal.
    fn take(&mut self, bytes: usize) -> Option<NonNull<u8>> {
        if self.copy.is_some() {
            return None;
        }
        if let Some((at, room)) = self.holes.iter_mut().find(|(_, room)| *room >= bytes) {
            let taken = *at;
            // SAFETY: the hole is at least as long.
            *at = unsafe { at.add(bytes) };
            *room -= bytes;
            return Some(taken);
        }
        if bytes > GROUND_BYTES - self.used {
            return None;
        }
        // SAFETY: it lies within the ground.
        let at = unsafe { self.base.add(self.used) };
        self.used += bytes;
        Some(at)
    }

    /// What comes back after the seal may be needed as it is when the ground is put back.
    fn give(&mut self, at: NonNull<u8>, bytes: usize) {
        if self.copy.is_none() {
            self.holes.push((at, bytes));
        }
    }

    fn seal(&mut self) {
        // SAFETY: the ground was zeroed when it was made, so all of it is initialized.
        let ground = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.used) };
        self.copy = Some(Box::from(ground));
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // SAFETY: `new` made it with this layout.
        unsafe { dealloc(self.base.as_ptr(), Self::LAYOUT) };
    }
}

impl State {
    fn take(&mut self, size: usize, zeroed: bool) -> Option<NonNull<u8>> {
        let layout = layout_of(size)?;
        let make = if zeroed { alloc_zeroed } else { alloc };
        let (block, place) = match self.ground.as_mut().and_then(|ground| ground.take(layout.size())) {
            Some(block) => (block, GROUND),
            // SAFETY: the layout is not empty: it has a header.
            None => (NonNull::new(unsafe { make(layout) })?, self.blocks.len()),
        };
        let header = block.cast::<Header>();
        if place != GROUND {
            self.blocks.push(header);
            self.held += layout.size();
        } else if zeroed {
            // SAFETY: the ground gave as many.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        // SAFETY: both kinds are as long as the layout says, and aligned: the ground is handed out in whole alignments.
        unsafe {
            header.write(Header { size: layout.size() - HEADER_BYTES, place });
            Some(block.add(HEADER_BYTES))
        }
    }

    /// # Safety
    ///
    /// `block` was taken here and not given back.
    unsafe fn give(&mut self, block: NonNull<Header>) {
        // SAFETY: as the caller says, there is a header.
        let Header { size, place } = unsafe { block.read() };
        if let (GROUND, Some(ground)) = (place, &mut self.ground) {
            return ground.give(block.cast(), HEADER_BYTES + size);
        }
        self.held -= HEADER_BYTES + size;
        self.blocks.swap_remove(place);
        if let Some(moved) = self.blocks.get(place) {
            // SAFETY: what is in the list was not freed yet.
            unsafe { (*moved.as_ptr()).place = place };
        }
        // SAFETY: it is not in the list any more.
        unsafe { free(block) };
    }

    /// # Safety
    ///
    /// `block` was taken here and not given back. If there is an answer, it takes the block's place.
    unsafe fn resize(&mut self, block: NonNull<Header>, size: usize) -> Option<NonNull<u8>> {
        // SAFETY: as the caller says, there is a header, and `size` bytes after it.
        let Header { size: old, place } = unsafe { block.read() };
        let content = unsafe { block.cast::<u8>().add(HEADER_BYTES) };
        if place == GROUND {
            if size <= old {
                return Some(content);
            }
            let new = self.take(size, false)?;
            // SAFETY: the new block is longer and another one.
            unsafe { std::ptr::copy_nonoverlapping(content.as_ptr(), new.as_ptr(), old) };
            // SAFETY: it was not given back yet, and is not used any more.
            unsafe { self.give(block) };
            return Some(new);
        }
        let layout = layout_of(size)?;
        // SAFETY: the block was made with the layout of its size, and the new size is not zero.
        let new = unsafe { realloc(block.as_ptr().cast(), layout_of(old)?, layout.size()) };
        let new = NonNull::new(new)?.cast::<Header>();
        self.held = self.held - old + (layout.size() - HEADER_BYTES);
        self.blocks[place] = new;
        // SAFETY: as long as the layout says.
        unsafe {
            new.write(Header { size: layout.size() - HEADER_BYTES, place });
            Some(new.cast::<u8>().add(HEADER_BYTES))
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for block in self.blocks.drain(..) {
            // SAFETY: it is in the list, so it was not freed yet; the runtime is gone.
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
/// `block` does not lie on the ground and was not freed.
unsafe fn free(block: NonNull<Header>) {
    // SAFETY: a block was made with the layout of its size, which is one.
    unsafe {
        let layout = Layout::from_size_align_unchecked(HEADER_BYTES + (*block.as_ptr()).size, ALIGN);
        dealloc(block.as_ptr().cast(), layout);
    }
}

/// The header of what QuickJS was given.
///
/// # Safety
///
/// `content` was taken here and not given back.
unsafe fn header_of(content: *mut u8) -> NonNull<Header> {
    // SAFETY: each content follows a header.
    unsafe { NonNull::new_unchecked(content.sub(HEADER_BYTES).cast()) }
}

fn raw(content: Option<NonNull<u8>>) -> *mut u8 {
    content.map_or(null_mut(), NonNull::as_ptr)
}

// SAFETY: blocks are as long as was asked or longer, aligned more strictly than is asked, and each is given out once until
// it comes back.
unsafe impl Allocator for Memory {
    fn alloc(&mut self, size: usize) -> *mut u8 {
        raw(self.0.borrow_mut().take(size, false))
    }

    fn calloc(&mut self, count: usize, size: usize) -> *mut u8 {
        raw(count.checked_mul(size).and_then(|size| self.0.borrow_mut().take(size, true)))
    }

    unsafe fn dealloc(&mut self, content: *mut u8) {
        // SAFETY: QuickJS gives back what it was given.
        unsafe { self.0.borrow_mut().give(header_of(content)) }
    }

    unsafe fn realloc(&mut self, content: *mut u8, size: usize) -> *mut u8 {
        if content.is_null() {
            return self.alloc(size);
        }
        // SAFETY: QuickJS gives back what it was given.
        unsafe { raw(self.0.borrow_mut().resize(header_of(content), size)) }
    }

    unsafe fn usable_size(content: *mut u8) -> usize {
        // SAFETY: QuickJS asks about what it was given.
        unsafe { header_of(content).as_ref().size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(content: *mut u8, byte: u8, bytes: usize) {
        // SAFETY: callers have taken so many.
        unsafe { content.write_bytes(byte, bytes) };
    }

    fn read(content: *mut u8, bytes: usize) -> Vec<u8> {
        // SAFETY: callers have taken and written so many.
        unsafe { std::slice::from_raw_parts(content, bytes).to_vec() }
    }

    #[test]
    fn what_was_sealed_is_put_back_and_what_came_later_is_gone() {
        let mut memory = Memory::with_ground().expect("there is memory");
        let (a, b) = (memory.alloc(100), memory.alloc(1_000));
        write(a, 1, 100);
        write(b, 2, 1_000);
        assert!(memory.seal());
        let held = memory.held();
        for _ in 0..3 {
            let later: Vec<*mut u8> = (0..10).map(|_| memory.alloc(5_000)).collect();
            // SAFETY: each is given back once.
            unsafe {
                memory.dealloc(later[2]);
                memory.dealloc(later[9]);
                let grown = memory.realloc(b, 9_000);
                assert_eq!(read(grown, 1_000), [2; 1_000], "it takes along what it held");
                memory.dealloc(a);
            }
            write(a, 7, 100);
            write(b, 8, 1_000);
            assert!(memory.held() > held + 8 * 5_000 + 9_000);
            // SAFETY: nothing else is used after it.
            unsafe { memory.put_back() };
            assert_eq!(memory.held(), held);
            assert_eq!((read(a, 100), read(b, 1_000)), (vec![1; 100], vec![2; 1_000]));
        }
    }

    #[test]
    fn blocks_are_counted_whatever_the_order_in_which_they_go() {
        let mut memory = Memory::new();
        let mut blocks: Vec<*mut u8> = (1..=50).map(|n| memory.alloc(n * 100)).collect();
        for (n, block) in blocks.iter_mut().enumerate() {
            write(*block, n as u8, 100);
            // SAFETY: the answer takes its place.
            *block = unsafe { memory.realloc(*block, 20_000 - n * 100) };
        }
        assert!(memory.held() > 50 * 15_000);
        while !blocks.is_empty() {
            let block = blocks.swap_remove(blocks.len() / 3);
            let first = read(block, 100);
            assert!(first.iter().all(|byte| *byte == first[0]), "nobody else wrote there");
            // SAFETY: it is given back once.
            unsafe { memory.dealloc(block) };
        }
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn what_is_asked_for_as_zeroes_is_zero() {
        let mut memory = Memory::with_ground().expect("there is memory");
        for bytes in [10, 1_000, 600_000] {
            assert_eq!(read(memory.calloc(bytes, 1), bytes), vec![0; bytes]);
        }
        assert!(!memory.seal(), "the last one did not fit on the ground");
        assert!(memory.alloc(usize::MAX).is_null() && memory.calloc(usize::MAX, 2).is_null());
    }
}
