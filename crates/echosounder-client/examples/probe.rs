//! Sends a few probes to an endpoint and prints the round-trip times: `probe [ENDPOINT]`.

use std::env;
use std::time::Duration;

use echosounder_client::{ClientError, Ping, PingReport};

#[expect(clippy::print_stdout, reason = "an example prints what it does")]
fn main() -> Result<(), ClientError> {
    let endpoint = env::args().nth(1);
    let report = probe(endpoint.as_deref().unwrap_or("tcp://localhost"), 5)?;
    println!("{} of {} replies", report.answered, report.sent());
    println!("min {:?}, mean {:?}, max {:?}", report.min(), report.mean(), report.max());
    Ok(())
}

pub(crate) fn probe(endpoint: &str, count: u64) -> Result<PingReport, ClientError> {
    Ping::to(endpoint).count(count).interval(Duration::from_millis(20)).run()
}
