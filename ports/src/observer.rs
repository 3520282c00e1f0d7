use tidegate_core::Fact;

/// Receives every fact of a dispatcher, in order.
pub trait Observer: Send + 'static {
    /// Runs on the task of the driver, so it must not block.
    fn observe(&mut self, fact: &Fact);
}
