//! The textbook's UDP client. It sends each typed line as a datagram and prints the reply. An empty
//! line ends it.
//!
//! Run it with `cargo run --example udp_client [PORT]`, after `udp_server`.
#![expect(clippy::print_stdout, reason = "the example prints the replies")]

use std::env;
use std::io::{self, Write};

use echosounder_socket::{Family, Protocol, Socket, Type};

const PORT: u16 = 21567;
const BUFFER_SIZE: usize = 1024;

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(PORT, |port| port.parse().expect("PORT is a number"));

    let client = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;

    let mut buffer = [0; BUFFER_SIZE];
    loop {
        print!(">");
        io::stdout().flush()?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        let message = line.trim_end_matches('\n');
        if message.is_empty() {
            return client.close();
        }
        client.send_to(message.as_bytes(), ("localhost", port))?;
        let (len, _) = client.recv_from(&mut buffer)?;
        println!("Server: {}", text(&buffer[..len]));
    }
}

/// Converts received bytes to text that is safe to print on a terminal.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, "?")
}
