//! The textbook's UDP client. It sends each typed line as a datagram and prints the reply. An empty
//! line ends it.
//!
//! Run it with `cargo run --example udp_client [PORT]`, after `udp_server`.
#![expect(clippy::print_stdout, reason = "the example prints the replies")]

use std::{env, io};

use echosounder_socket::{Family, Protocol, Socket, Type};

const PORT: u16 = 21567;

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(PORT, |port| port.parse().expect("PORT is a number"));
    let client = Socket::new(Family::INET, Type::DGRAM, Protocol::DEFAULT)?;
    for line in io::stdin().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        client.send_to(line.as_bytes(), ("localhost", port))?;
        let mut buffer = [0; 1024];
        let (len, _server) = client.recv_from(&mut buffer)?;
        println!("Server: {}", String::from_utf8_lossy(&buffer[..len]).replace(char::is_control, "?"));
    }
    client.close()
}
