//! A task for each connection, on tokio's runtime of one thread. Usage: tokio tcp|udp PORT, tokio
//! unix|unix-dgram PATH

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use rust_peers::{READ_SIZE, TimestampCache, arguments, udp};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, UdpSocket, UnixDatagram, UnixListener};
use tokio::task::{LocalSet, spawn_local};

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    LocalSet::new().run_until(run()).await
}

async fn run() -> io::Result<()> {
    let (transport, place) = arguments();
    let timestamps = Rc::new(RefCell::new(TimestampCache::default()));
    match transport.as_str() {
        "tcp" => {
            let socket = TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(format!("127.0.0.1:{place}").parse().map_err(io::Error::other)?)?;
            let listener = socket.listen(4096)?;
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                spawn_local(serve(stream, timestamps.clone()));
            }
        }
        "unix" => {
            let listener = UnixListener::bind(place)?;
            loop {
                spawn_local(serve(listener.accept().await?.0, timestamps.clone()));
            }
        }
        "udp" => {
            let socket = udp(&place)?;
            socket.set_nonblocking(true)?;
            let socket = UdpSocket::from_std(socket)?;
            let (mut input, mut reply) = (vec![0; 64 * 1024], Vec::new());
            loop {
                if let Ok((len, from)) = socket.recv_from(&mut input).await {
                    timestamps.borrow_mut().reply_to_datagram(&input[..len], &mut reply);
                    let _ = socket.send_to(&reply, from).await;
                }
            }
        }
        _ => {
            let socket = UnixDatagram::bind(place)?;
            let (mut input, mut reply) = (vec![0; 64 * 1024], Vec::new());
            loop {
                if let Ok((len, from)) = socket.recv_from(&mut input).await
                    && let Some(path) = from.as_pathname()
                {
                    timestamps.borrow_mut().reply_to_datagram(&input[..len], &mut reply);
                    let _ = socket.send_to(&reply, path).await;
                }
            }
        }
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, timestamps: Rc<RefCell<TimestampCache>>) {
    let (mut input, mut reply) = (vec![0; READ_SIZE], Vec::new());
    while let Ok(len @ 1..) = stream.read(&mut input).await {
        timestamps.borrow_mut().reply(&input[..len], &mut reply);
        if stream.write_all(&reply).await.is_err() {
            return;
        }
    }
}
