//! Sends one probe to an endpoint and prints the round-trip time: `probe [ENDPOINT]`.

use std::{env, error::Error, sync::Arc, time::Duration};

use echosounder_client::{
    ConnectOptions, IpOptions, Order, Ping, PingControl, PingEvent, Pinger, ProbePace, TargetEvent,
    TimestampSource,
};
use echosounder_socket::{IpVersion, StopToken};

#[expect(clippy::print_stdout, reason = "an example prints what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = env::args().nth(1);
    println!("{:?}", probe(endpoint.as_deref().unwrap_or("tcp://localhost"))?);
    Ok(())
}

pub(crate) fn probe(endpoint: &str) -> Result<Duration, Box<dyn Error>> {
    let (endpoint, wait, ip_version) = (endpoint.parse()?, Duration::from_secs(2), IpVersion::Any);
    let connect =
        ConnectOptions { endpoint, ip_version, source: None, ip_options: IpOptions::default(), wait };
    let (start_delay, pace, timestamps) = (Duration::ZERO, ProbePace::Closed, TimestampSource::User);
    let (count, deadline, clock) = (Some(1), None, None);
    let ping = Ping { connect, size_bytes: 64, start_delay, pace, count, deadline, clock, timestamps };
    let control = Arc::new(PingControl::new(StopToken::new()?)?);
    let mut outcome = Err("the probe was not sent".into());
    Pinger::new(vec![ping], Order::AtOnce, control)?.run(|_target, event| {
        match event {
            TargetEvent::Happened(PingEvent::Replied(reply)) => outcome = Ok(reply.rtt),
            TargetEvent::Happened(PingEvent::Lost { reason, .. }) => {
                outcome = Err(format!("{reason:?}").into())
            }
            TargetEvent::Ended { error: Some(error), .. } => outcome = Err(error.into()),
            _ => {}
        }
        true // Continue until the probe has an outcome.
    });
    outcome
}
