use tidegate_core::Fact;

/// Is told every fact, in order, on the driver's task: it must not block.
pub trait Observer: Send + 'static {
    /// Takes note of `fact`.
    fn observe(&mut self, fact: &Fact);
}
