//! How fast Tidegate is, beside other queues on the same machine.

pub mod peers;
