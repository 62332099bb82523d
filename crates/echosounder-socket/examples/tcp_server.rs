//! The textbook's TCP server. It replies to every chunk that it receives with the time and the
//! chunk.
//!
//! Run it with `cargo run --example tcp_server [PORT]`, and `tcp_client` in a second terminal.
#![expect(clippy::print_stdout, reason = "the example reports what it does")]

use std::{env, io};

use echosounder_socket::{Family, Protocol, Socket, Type};
use jiff::ZonedDateTime;

const PORT: u16 = 21567;
const BUFFER_SIZE: usize = 1024;

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(PORT, |port| port.parse().expect("PORT is a number"));

    let server = Socket::new(Family::INET, Type::STREAM, Protocol::DEFAULT)?;
    server.bind(("localhost", port))?;
    server.listen_with(5)?;
    println!("Waiting for connections at {}", server.local_addr()?);

    loop {
        let (client, address) = server.accept()?;
        println!("Connected client from: {address}");
        if let Err(error) = converse(&client) {
            println!("Error: {error}");
        }
    }
}

/// Replies to one client until it closes the connection.
fn converse(client: &Socket) -> io::Result<()> {
    let mut buffer = [0; BUFFER_SIZE];
    loop {
        let len = client.recv(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        println!("Client: {}", text(&buffer[..len]));
        let time = ZonedDateTime::now().strftime("%a %b %e %H:%M:%S %Y");
        client.send_all(&[format!("[{time}] ").as_bytes(), &buffer[..len]].concat())?;
    }
}

/// Converts received bytes to text that is safe to print on a terminal.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "?")
}
