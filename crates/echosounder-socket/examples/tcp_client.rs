//! The textbook's TCP client. It sends each typed line without its newline and prints the reply. An
//! empty line ends it.
//!
//! Run it with `cargo run --example tcp_client [PORT]`, after `tcp_server`.
#![expect(clippy::print_stdout, reason = "the example prints the replies")]

use std::{env, io};

use echosounder_socket::create_connection;

const PORT: u16 = 21567;

fn main() -> io::Result<()> {
    let port = env::args().nth(1).map_or(PORT, |port| port.parse().expect("PORT is a number"));
    let client = create_connection(("localhost", port), None, None)?;
    for line in io::stdin().lines() {
        let line = line?;
        if line.is_empty() {
            break;
        }
        client.send_all(line.as_bytes())?;
        let mut buffer = [0; 1024];
        let len = client.recv(&mut buffer)?;
        if len == 0 {
            break;
        }
        println!("Server: {}", String::from_utf8_lossy(&buffer[..len]).replace(char::is_control, "?"));
    }
    client.close()
}
