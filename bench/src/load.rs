//! A closed loop: so many messages under way on each connection, the next when one has come back.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use echosounder_socket::{Endpoint, Events, Interest, IpVersion, Poll, Side, Socket, option};

/// The byte that messages are made of. No stamp has it, so what comes back can be counted.
const PAYLOAD: u8 = b'x';

#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
}

pub struct Flood {
    load: Load,
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
}

struct Connection {
    socket: Socket,
    /// Payload bytes that have come back of a message that is not whole.
    partial: usize,
}

impl Load {
    /// Connects, and puts the first messages under way.
    pub fn start(self, endpoint: &Endpoint) -> Result<Flood> {
        let address = endpoint.resolve(Side::Client, IpVersion::Any)?.pop().context("no address")?;
        let message = vec![PAYLOAD; self.size * self.depth];
        let poll = Poll::new()?;
        let mut connections = Vec::new();
        for token in 0..self.connections {
            let socket = endpoint.transport().socket(&address)?;
            socket.connect(&address)?;
            socket.set_option(option::TCP_NODELAY, true)?;
            socket.set_blocking(false)?;
            poll.add(&socket, token as u64, Interest::Read)?;
            connections.push(Connection { socket, partial: 0 });
        }
        let mut flood = Flood {
            load: self,
            poll,
            events: Events::with_capacity(256),
            connections,
            message,
            buffer: vec![0; 256 * 1024],
        };
        for index in 0..self.connections {
            flood.send(index, self.depth)?;
        }
        Ok(flood)
    }
}

impl Flood {
    /// Keeps going for a while; how many messages came back, and how long it really took.
    #[expect(clippy::disallowed_methods, reason = "the load is its own clock")]
    pub fn run(&mut self, span: Duration) -> Result<(u64, Duration)> {
        let start = Instant::now();
        let mut messages = 0;
        while start.elapsed() < span {
            self.poll.wait(&mut self.events, Some(Duration::from_millis(100)))?;
            let mut told = 0;
            while let Some(event) = self.events.get(told) {
                told += 1;
                messages += self.turn(usize::try_from(event.token)?)?;
            }
        }
        Ok((messages, start.elapsed()))
    }

    fn turn(&mut self, index: usize) -> Result<u64> {
        let connection = &mut self.connections[index];
        let len = match connection.socket.recv(&mut self.buffer) {
            Ok(0) => bail!("the server has ended a connection"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            result => result?,
        };
        let returned = self.buffer[..len].iter().filter(|&&byte| byte == PAYLOAD).count();
        connection.partial += returned;
        let whole = connection.partial / self.load.size;
        connection.partial %= self.load.size;
        self.send(index, whole)?;
        Ok(whole as u64)
    }

    fn send(&mut self, index: usize, messages: usize) -> Result<()> {
        if messages != 0 {
            let bytes = &self.message[..messages * self.load.size];
            let sent = self.connections[index].socket.send(bytes)?;
            anyhow::ensure!(sent == bytes.len(), "the socket took {sent} of {} bytes", bytes.len());
        }
        Ok(())
    }
}
