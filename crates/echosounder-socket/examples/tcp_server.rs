//! The textbook's TCP server. It replies to every chunk that it receives with the time and the
//! chunk.
//!
//! Run it with `cargo run --example tcp_server [PORT]`, and `tcp_client` in a second terminal.
#![expect(clippy::print_stdout, reason = "the example reports what it does")]

use std::{env, io};

use echosounder_socket::{ServerOptions, Socket, create_server};
use jiff::ZonedDateTime;

const PORT: u16 = 21567;

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(PORT, |port| port.parse().expect("PORT is a number"));
    let server = create_server(("localhost", port), ServerOptions::default())?;
    println!("Waiting for connections at {}", server.local_addr()?);
    for client in server.incoming() {
        if let Err(error) = converse(&client?) {
            println!("Error: {error}");
        }
    }
    Ok(())
}

/// Replies to one client until it closes the connection.
fn converse(client: &Socket) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while let len @ 1.. = client.recv(&mut buffer)? {
        let time = ZonedDateTime::now().strftime("%a %b %e %H:%M:%S %Y");
        client.send_all(&[format!("[{time}] ").as_bytes(), &buffer[..len]].concat())?;
    }
    Ok(())
}
