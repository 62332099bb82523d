//! Embeds a timestamped echo server in a program, sends it a message, and stops it.

use std::error::Error;
use std::net::UdpSocket;

use echosounder_server::Server;

#[expect(clippy::print_stdout, reason = "an example prints what it does")]
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // With port 0 the kernel chooses a free port.
    let server = Server::bind(["udp://127.0.0.1:0"])?.start()?;
    let endpoint = server.endpoints().next().ok_or("the server has no endpoint")?.to_string();
    println!("serving {endpoint}");

    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.send_to(b"hello", endpoint.trim_start_matches("udp://"))?;
    let mut reply = [0; 64];
    let len = client.recv(&mut reply)?;
    println!("{}", String::from_utf8_lossy(&reply[..len])); // [Sun Nov 22 12:19:36 2026] hello

    assert_eq!(server.stop()?.messages, 1);
    Ok(())
}
