//! Embeds a timestamped echo server in a program, sends it a message, and stops it.

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use echosounder_server::{Config, Server};

#[expect(clippy::print_stdout, reason = "an example prints what it does")]
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // With port 0 the kernel chooses a free port.
    let server = Server::bind(Config::new(vec!["tcp://127.0.0.1:0".parse()?]))?;
    let endpoint = server.endpoints().next().expect("the server has one endpoint").to_string();
    println!("serving {endpoint}");

    // Each worker reports its events to an observer of its own; `()` ignores them.
    let running = server.start(|| ())?;

    let mut client = TcpStream::connect(endpoint.trim_start_matches("tcp://"))?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    let mut reply = String::new();
    client.read_to_string(&mut reply)?;
    println!("{reply}"); // [Sun Nov 22 12:19:36 2026] hello

    let totals = running.stop()?;
    assert_eq!((totals.messages, totals.bytes), (1, 5));
    Ok(())
}
