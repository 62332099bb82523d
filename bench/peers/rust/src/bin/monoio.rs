//! A task for each connection, on monoio over io_uring. Usage: monoio tcp|udp PORT, monoio unix PATH

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::udp::UdpSocket;
use monoio::net::{ListenerOpts, TcpListener, UnixListener};
use rust_peers::{ROOM, Stamp, arguments, udp};

fn main() -> io::Result<()> {
    monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096).build()?.block_on(run())
}

async fn run() -> io::Result<()> {
    let (transport, place) = arguments();
    let stamp = Rc::new(RefCell::new(Stamp::default()));
    match transport.as_str() {
        "tcp" => {
            let options = ListenerOpts::new().backlog(4096).reuse_port(false);
            let listener = TcpListener::bind_with_config(format!("127.0.0.1:{place}"), &options)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                monoio::spawn(serve(stream, stamp.clone()));
            }
        }
        "unix" => {
            // Kernels refuse SO_REUSEPORT on these sockets, which is the default.
            let options = ListenerOpts::new().backlog(4096).reuse_port(false);
            let listener = UnixListener::bind_with_config(place, &options)?;
            loop {
                monoio::spawn(serve(listener.accept().await?.0, stamp.clone()));
            }
        }
        _ => {
            let socket = UdpSocket::from_std(udp(&place)?)?;
            let (mut input, mut answer) = (vec![0; 64 * 1024], Vec::new());
            loop {
                let (received, buffer) = socket.recv_from(input).await;
                input = buffer;
                if let Ok((len, from)) = received {
                    stamp.borrow_mut().answer_datagram(&input[..len], &mut answer);
                    (_, answer) = socket.send_to(answer, from).await;
                }
            }
        }
    }
}

async fn serve(mut stream: impl AsyncReadRent + AsyncWriteRent, stamp: Rc<RefCell<Stamp>>) {
    let (mut input, mut answer) = (vec![0; ROOM], Vec::new());
    loop {
        let (read, buffer) = stream.read(input).await;
        input = buffer;
        let Ok(len @ 1..) = read else { return };
        stamp.borrow_mut().answer(&input[..len], &mut answer);
        let (written, buffer) = stream.write_all(answer).await;
        answer = buffer;
        if written.is_err() {
            return;
        }
    }
}
