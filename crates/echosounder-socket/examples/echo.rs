//! Echoes what its clients send, each in a thread of its own: `echo [ENDPOINT]`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use echosounder_socket::{ServerOptions, create_server};
use std::{env, io, thread};

fn main() -> io::Result<()> {
    let endpoint = env::args().nth(1);
    let endpoint = endpoint.as_deref().unwrap_or("unix-seqpacket:@echo");
    let server = create_server(endpoint, ServerOptions::default())?;
    println!("Waiting for connections at {}", server.local_addr()?);
    for client in server.incoming() {
        let client = client?;
        thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; 1024];
            while let len @ 1.. = client.recv(&mut buffer)? {
                client.send_all(&buffer[..len])?;
            }
            Ok(())
        });
    }
    Ok(())
}
