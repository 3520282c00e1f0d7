//! Random values for cases.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

/// `count` values of `strategy`. Every run draws the same values.
pub(crate) fn draw<T: Strategy>(count: usize, strategy: &T) -> Vec<T::Value> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("the strategy makes a value").current()).collect()
}
