//! Echoes what its clients send, one client at a time: `echo [ENDPOINT]`.
#![expect(clippy::print_stdout, reason = "an example prints what it does")]

use echosounder_socket::{Endpoint, IpVersion, ServerOptions, Side, create_server};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = env::args().nth(1);
    let endpoint: Endpoint = endpoint.as_deref().unwrap_or("unix-seqpacket:@echo").parse()?;
    let address = &endpoint.resolve(Side::Server, IpVersion::Any)?[0];
    let server = create_server(endpoint.transport(), address, ServerOptions::default())?;
    println!("Waiting for connections at {}", server.local_addr()?);
    loop {
        let (client, _peer) = server.accept()?;
        let mut buffer = [0; 1024];
        while let len @ 1.. = client.recv(&mut buffer)? {
            client.send_all(&buffer[..len])?;
        }
    }
}
