//! Pages of lists: a page ends at its bytes, and has at least one item.

use crate::Store;
use crate::support::*;
use std::fmt::Debug;
use std::sync::Arc;
use tidegate_core::Json;
use tidegate_ports::{DeadLetter, DeadLetterFilter, DeliveryFilter, DeliverySummary, KvEntry, KvPage, Page, PageSize};

/// The most bytes of a page in these cases.
const BYTES_MAX: u64 = 30_000;

/// Texts of different sizes: small ones, one that compresses well, some that do not, and one that
/// is larger than a page.
pub(crate) fn texts() -> Vec<Json> {
    let noise = |length: usize| {
        let mut state = 0x9e37_79b9_u32;
        let next = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (state >> 24) as u8 % 26)
        };
        (0..length).map(next).collect::<String>()
    };
    let texts = ["a".to_owned(), "b".repeat(20_000), noise(9_000), noise(9_000), noise(40_000), "c".to_owned()];
    let more = (0..8).map(|_| "d".repeat(14_000));
    texts.into_iter().chain(more).map(|text| json(&format!("\"{text}\""))).collect()
}

/// Reads all pages of at most 5 items. `next` reads the page after an item.
async fn read_all<T: Clone + Debug>(next: impl AsyncFn(Option<&T>) -> Page<T>, bytes_of: impl Fn(&T) -> u64) -> Vec<T> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let page = next(all.last()).await;
        let bytes: u64 = page.items.iter().map(&bytes_of).sum();
        assert!(bytes <= BYTES_MAX || page.items.len() == 1, "{bytes} bytes in a page");
        assert!((1..=5).contains(&page.items.len()), "{} items in a page", page.items.len());
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
    }
}

const SIZE: PageSize = PageSize { items: 5, bytes: BYTES_MAX };

pub(crate) async fn a_page_of_values_ends_at_its_bytes<S: Store>(store: Arc<S>) {
    let app = App::new(&store).await;
    let texts = texts();
    for (n, text) in texts.iter().enumerate() {
        app.put("c", &format!("{n:02}"), text.as_str()).await;
    }
    let next = async |last: Option<&KvEntry>| {
        let after = last.map(|entry| entry.key.clone());
        app.page("c", &KvPage { prefix: String::new(), after, size: SIZE }).await
    };
    let found: Vec<Json> = read_all(next, KvEntry::bytes).await.into_iter().map(|entry| entry.value).collect();
    assert_eq!(found, texts);
    let first = app.page("c", &KvPage { prefix: String::new(), after: None, size: SIZE }).await;
    assert_eq!(first.items.len(), 3, "the page is as full as its bytes allow");
}

pub(crate) async fn a_page_of_deliveries_ends_at_its_bytes<S: Store>(store: Arc<S>) {
    let (app, _) = App::with_lane(&store).await;
    let texts = texts();
    app.emit(texts.iter().map(|text| new_event("go", "", text.as_str())).collect()).await;
    let next = async |last: Option<&DeliverySummary>| {
        let filter = DeliveryFilter { after: last.map(|row| row.id), size: SIZE, ..DeliveryFilter::default() };
        app.page_of_deliveries(&filter).await
    };
    let found: Vec<Json> = read_all(next, DeliverySummary::bytes).await.into_iter().map(|row| row.event.data).collect();
    assert_eq!(found, texts);
}

pub(crate) async fn a_page_of_dead_letters_ends_at_its_bytes<S: Store>(store: Arc<S>) {
    let (app, lane) = App::with_lane(&store).await;
    let mut texts = texts();
    app.emit(texts.iter().map(|text| new_event("go", "", text.as_str())).collect()).await;
    let dead =
        app.claim(lane.id, 100).await.iter().map(|row| settlement(row, dead(threw(1, row.due_at, "no")))).collect();
    app.exchange(dead, Vec::new()).await;
    let next = async |last: Option<&DeadLetter>| {
        let filter =
            DeadLetterFilter { before: last.map(|letter| letter.id), size: SIZE, ..DeadLetterFilter::default() };
        app.page_of_letters(&filter).await
    };
    let found: Vec<Json> =
        read_all(next, DeadLetter::bytes).await.into_iter().map(|letter| letter.event.data).collect();
    texts.reverse();
    assert_eq!(found, texts);
}
