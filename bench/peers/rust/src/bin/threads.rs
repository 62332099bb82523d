//! A thread for each connection, with std. Usage: threads tcp|udp PORT, threads unix|unix-dgram
//! PATH

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;

use rust_peers::{READ_SIZE, TimestampCache, arguments, udp};

fn main() -> io::Result<()> {
    let (transport, place) = arguments();
    match transport.as_str() {
        "tcp" => {
            for stream in TcpListener::bind(format!("127.0.0.1:{place}"))?.incoming() {
                let stream = stream?;
                stream.set_nodelay(true)?;
                thread::spawn(move || serve(stream));
            }
        }
        "unix" => {
            for stream in UnixListener::bind(place)?.incoming() {
                let stream = stream?;
                thread::spawn(move || serve(stream));
            }
        }
        "udp" => {
            let socket = udp(&place)?;
            datagrams(|buffer| socket.recv_from(buffer), |reply, to| socket.send_to(reply, to));
        }
        _ => {
            let socket = UnixDatagram::bind(place)?;
            datagrams(|buffer| socket.recv_from(buffer), |reply, to| socket.send_to_addr(reply, to));
        }
    }
    Ok(())
}

fn serve(mut stream: impl Read + Write) {
    let (mut timestamps, mut input, mut reply) = (TimestampCache::default(), vec![0; READ_SIZE], Vec::new());
    while let Ok(len @ 1..) = stream.read(&mut input) {
        timestamps.reply(&input[..len], &mut reply);
        if stream.write_all(&reply).is_err() {
            return;
        }
    }
}

fn datagrams<A>(
    receive: impl Fn(&mut [u8]) -> io::Result<(usize, A)>,
    send: impl Fn(&[u8], &A) -> io::Result<usize>,
) {
    let (mut timestamps, mut input, mut reply) = (TimestampCache::default(), vec![0; 64 * 1024], Vec::new());
    loop {
        if let Ok((len, from)) = receive(&mut input) {
            timestamps.reply_to_datagram(&input[..len], &mut reply);
            let _ = send(&reply, &from);
        }
    }
}
