//! A thread for each connection, with std. Usage: threads tcp|udp PORT, threads unix|unix-dgram PATH

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::thread;

use rust_peers::{ROOM, Stamp, arguments, udp};

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
            datagrams(|buffer| socket.recv_from(buffer), |answer, to| socket.send_to(answer, to));
        }
        _ => {
            let socket = UnixDatagram::bind(place)?;
            datagrams(|buffer| socket.recv_from(buffer), |answer, to| socket.send_to_addr(answer, to));
        }
    }
    Ok(())
}

fn serve(mut stream: impl Read + Write) {
    let (mut stamp, mut input, mut answer) = (Stamp::default(), vec![0; ROOM], Vec::new());
    while let Ok(len @ 1..) = stream.read(&mut input) {
        stamp.answer(&input[..len], &mut answer);
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

fn datagrams<A>(
    receive: impl Fn(&mut [u8]) -> io::Result<(usize, A)>,
    send: impl Fn(&[u8], &A) -> io::Result<usize>,
) {
    let (mut stamp, mut input, mut answer) = (Stamp::default(), vec![0; 64 * 1024], Vec::new());
    loop {
        if let Ok((len, from)) = receive(&mut input) {
            stamp.answer_datagram(&input[..len], &mut answer);
            let _ = send(&answer, &from);
        }
    }
}
