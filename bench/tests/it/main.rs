//! Tests of the parts of the benchmark, a second or two each: its reports, and a small but real
//! drain.

mod drain;
mod report;
