//! A task for each connection, on tokio's runtime of one thread. Usage: tokio tcp|udp PORT, tokio unix|unix-dgram PATH

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use rust_peers::{ROOM, Stamp, arguments, udp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket, UnixDatagram, UnixListener};
use tokio::task::{LocalSet, spawn_local};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    LocalSet::new().run_until(run()).await
}

async fn run() -> io::Result<()> {
    let (transport, place) = arguments();
    let stamp = Rc::new(RefCell::new(Stamp::default()));
    match transport.as_str() {
        "tcp" => {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(format!("127.0.0.1:{place}").parse().map_err(io::Error::other)?)?;
            let listener = socket.listen(4096)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                spawn_local(serve(stream, stamp.clone()));
            }
        }
        "unix" => {
            let listener = UnixListener::bind(place)?;
            loop {
                spawn_local(serve(listener.accept().await?.0, stamp.clone()));
            }
        }
        "udp" => {
            let socket = udp(&place)?;
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            let (mut input, mut answer) = (vec![0; 64 * 1024], Vec::new());
            loop {
                if let Ok((len, from)) = socket.recv_from(&mut input).await {
                    stamp.borrow_mut().answer_datagram(&input[..len], &mut answer);
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        }
        _ => {
            let socket = UnixDatagram::bind(place)?;
            let (mut input, mut answer) = (vec![0; 64 * 1024], Vec::new());
            loop {
                if let Ok((len, from)) = socket.recv_from(&mut input).await
                    && let Some(path) = from.as_pathname()
                {
                    stamp.borrow_mut().answer_datagram(&input[..len], &mut answer);
                    let _ = socket.send_to(&answer, path).await;
                }
            }
        }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, stamp: Rc<RefCell<Stamp>>) {
    let (mut input, mut answer) = (vec![0; ROOM], Vec::new());
    while let Ok(len @ 1..) = stream.read(&mut input).await {
        stamp.borrow_mut().answer(&input[..len], &mut answer);
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}
