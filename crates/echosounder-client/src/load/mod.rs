//! Generating load: many connections, a pace, and a check of every reply.
//!
//! [`load`](fn@load) connects to a server as [`LoadOptions`] describe, sends messages for a while and
//! returns a [`LoadReport`]; [`ramp`](fn@ramp) repeats that to find the highest rate that keeps a
//! latency bound. Each thread owns some of the connections and shares nothing with the others but a
//! few counters.

mod builder;
mod connect_each;
mod connection;
mod counts;
mod cpu;
mod error;
mod exchange_times;
mod failures;
mod fresh;
mod generator;
mod histogram;
mod inbox;
mod options;
mod outbox;
mod over_time;
mod pace;
mod phase;
mod plan;
mod progress;
mod ramp;
mod receive;
mod recorder;
mod refusals;
mod report;
mod run;
mod send;
mod shared;
mod slots;
mod tcp_sum;
mod thread_result;
mod turn;

pub use builder::Load;
pub use counts::Counts;
pub use error::LoadError;
pub use exchange_times::ExchangeReport;
pub use generator::Generator;
pub use options::{LoadOptions, MESSAGE_BYTES_MAX, REMOTE_RATE_MAX, SizeRange};
pub use over_time::{LoadPoint, PointLatency};
pub use pace::{Pace, Spacing};
pub use plan::LoadPlan;
pub use progress::{LoadEvent, LoadInterval};
pub use ramp::{RampEvent, RampOptions, Step, ramp};
pub use report::LoadReport;
pub use run::load;
pub use tcp_sum::TcpSummary;
pub use thread_result::CpuShare;
