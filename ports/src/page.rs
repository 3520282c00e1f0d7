/// One page of a list. Its items are next to each other in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Whether more items follow the last one. The next page begins after it.
    pub has_more: bool,
}

/// The end of a page. A page has at least one item if the list has one, even if the item is larger
/// than `bytes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize {
    pub items: u32,
    /// The most bytes of values, event data and failed attempts.
    pub bytes: u64,
}

impl PageSize {
    /// The most bytes of a page for a client: 4 MiB.
    pub const BYTES_MAX: u64 = 4 * 1024 * 1024;

    /// A page for a client.
    #[must_use]
    pub const fn of(items: u32) -> Self {
        Self { items, bytes: Self::BYTES_MAX }
    }

    /// The number of rows to read: one more than the page has. It shows that more rows follow.
    #[must_use]
    pub const fn rows(self) -> i64 {
        self.items as i64 + 1
    }
}

impl Default for PageSize {
    /// A page for a client with 100 items.
    fn default() -> Self {
        Self::of(100)
    }
}

impl<T> Page<T> {
    /// The first items of `rest`, which are read one by one until the page is full. `bytes_of` is
    /// the size of an item.
    pub fn read<E>(
        rest: impl IntoIterator<Item = Result<T, E>>,
        size: PageSize,
        bytes_of: impl Fn(&T) -> u64,
    ) -> Result<Self, E> {
        let (mut items, mut bytes) = (Vec::new(), 0_u64);
        for item in rest {
            let item = item?;
            bytes = bytes.saturating_add(bytes_of(&item));
            let is_full = items.len() >= size.items as usize || (bytes > size.bytes && !items.is_empty());
            if is_full {
                return Ok(Self { items, has_more: true });
            }
            items.push(item);
        }
        Ok(Self { items, has_more: false })
    }
}
