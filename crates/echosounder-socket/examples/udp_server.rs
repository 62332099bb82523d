//! The textbook's UDP server. It replies to every datagram with the time and the datagram.
//!
//! Run it with `cargo run --example udp_server [PORT]`, and `udp_client` in a second terminal.
#![expect(clippy::print_stdout, reason = "the example reports what it does")]

use std::{env, io};

use echosounder_socket::{Family, Protocol, Socket, Type};
use jiff::ZonedDateTime;

const PORT: u16 = 21567;

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(PORT, |port| port.parse().expect("PORT is a number"));
    let server = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    server.bind(("localhost", port))?;
    println!("Waiting for messages at {}", server.local_addr()?);
    let mut buffer = [0; 1024];
    loop {
        let (len, client) = server.recv_from(&mut buffer)?;
        let time = ZonedDateTime::now().strftime("%a %b %e %H:%M:%S %Y");
        let reply = [format!("[{time}] ").as_bytes(), &buffer[..len]].concat();
        if let Err(error) = server.send_to(&reply, &client) {
            println!("Error: {error}");
        }
    }
}
