//! Measures how long a datagram waits in the receive queue, with the kernel's timestamps.
//!
//! Run it with `cargo run --example kernel_timestamps`. The kernel notes when a datagram arrives
//! (SO_TIMESTAMPNS, socket(7)) and returns that time as a control message with the datagram.
#![expect(clippy::print_stdout, reason = "the example prints its result")]

use std::error::Error;
use std::io::IoSliceMut;
use std::time::{SystemTime, UNIX_EPOCH};

use echosounder_socket::option::SO_TIMESTAMPNS;
use echosounder_socket::{ControlSpace, MessageFlags, ServerOptions, Transport, create_server};

fn main() -> Result<(), Box<dyn Error>> {
    let receiver = create_server("udp://127.0.0.1:0", ServerOptions::default())?;
    receiver.set_option(SO_TIMESTAMPNS, true)?;
    let address = receiver.local_addr()?;
    let sender = Transport::Udp.socket(&address)?;

    for _ in 0..5 {
        sender.send_to(b"ping", &address)?;
        let mut buffer = [0; 64];
        let space = ControlSpace::TIMESTAMP;
        let message = receiver.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
        let received = now();
        let arrived = message.timestamp().ok_or("the kernel sent no timestamp")?;
        let waited = received.duration_since(arrived).unwrap_or_default();
        println!(
            "arrived at {:?} since the epoch, read {waited:?} later",
            arrived.duration_since(UNIX_EPOCH)?
        );
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the kernel's timestamps are in system time")]
fn now() -> SystemTime {
    SystemTime::now()
}
