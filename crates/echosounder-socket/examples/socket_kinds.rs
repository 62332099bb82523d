//! Lists the kinds of socket, and which of them this machine has.
//!
//! Run it with `cargo run --example socket_kinds`.
#![expect(clippy::print_stdout, reason = "the example prints its result")]

use echosounder_socket::{Kind, Transport};

fn main() {
    for transport in Transport::all() {
        let boundaries = match transport.kind() {
            Kind::Stream => "a connection that carries a stream of bytes",
            Kind::Messages => "a connection that preserves message boundaries",
            Kind::Datagrams => "messages without a connection",
        };
        for address in transport.loopback_addresses() {
            let state = match transport.socket(&address) {
                Ok(_) => "available".to_owned(),
                Err(error) => error.to_string(),
            };
            let (family, kind) = (address.family(), transport.socket_type());
            println!("{:15} {family} {kind}: {boundaries} ({state})", transport.scheme());
        }
    }
}
