//! A task for each connection, on monoio over io_uring. Usage: monoio tcp|udp PORT, monoio unix
//! PATH

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::udp::UdpSocket;
use monoio::net::{ListenerOpts, TcpListener, UnixListener};
use rust_peers::{READ_SIZE, TimestampCache, arguments, udp};

fn main() -> io::Result<()> {
    monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096).build()?.block_on(run())
}

async fn run() -> io::Result<()> {
    let (transport, place) = arguments();
    let timestamps = Rc::new(RefCell::new(TimestampCache::default()));
    match transport.as_str() {
        "tcp" => {
            let options = ListenerOpts::new().backlog(4096).reuse_port(false);
            let listener = TcpListener::bind_with_config(format!("127.0.0.1:{place}"), &options)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                monoio::spawn(serve(stream, timestamps.clone()));
            }
        }
        "unix" => {
            // Kernels refuse SO_REUSEPORT on these sockets, which is the default.
            let options = ListenerOpts::new().backlog(4096).reuse_port(false);
            let listener = UnixListener::bind_with_config(place, &options)?;
            loop {
                monoio::spawn(serve(listener.accept().await?.0, timestamps.clone()));
            }
        }
        _ => {
            let socket = UdpSocket::from_std(udp(&place)?)?;
            let (mut input, mut reply) = (vec![0; 64 * 1024], Vec::new());
            loop {
                let (received, buffer) = socket.recv_from(input).await;
                input = buffer;
                if let Ok((len, from)) = received {
                    timestamps.borrow_mut().reply_to_datagram(&input[..len], &mut reply);
                    (_, reply) = socket.send_to(reply, from).await;
                }
            }
        }
    }
}

async fn serve(mut stream: impl AsyncReadRent + AsyncWriteRent, timestamps: Rc<RefCell<TimestampCache>>) {
    let (mut input, mut reply) = (vec![0; READ_SIZE], Vec::new());
    loop {
        let (read, buffer) = stream.read(input).await;
        input = buffer;
        let Ok(len @ 1..) = read else { return };
        timestamps.borrow_mut().reply(&input[..len], &mut reply);
        let (written, buffer) = stream.write_all(reply).await;
        reply = buffer;
        if written.is_err() {
            return;
        }
    }
}
