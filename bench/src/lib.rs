//! Servers, loads and measures of the benchmarks.

pub mod check;
pub mod load;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod report;
pub mod scenario;
pub mod server;
pub mod statistics;
