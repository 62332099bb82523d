//! The link for one connection.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use echosounder_socket::{Events, Interest, Poll, Shutdown, Socket, ready};

use super::log::server_times;
use super::{Fate, Log, REQUEST_LEN, nanos, now, receive, sequence, timestamped, wait};
use crate::PATIENCE;

/// The index of the client's socket, and of the direction that starts at it.
const UP: usize = 0;
/// The index of the server's socket, and of the direction that starts at it.
const DOWN: usize = 1;

/// The bytes of one direction.
struct Flow {
    segment_len: usize,
    /// Bytes that have arrived and are not due yet, with their due time since the Unix epoch.
    held: VecDeque<(Duration, Vec<u8>)>,
    bytes_received: usize,
    bytes_sent: usize,
}

pub(super) struct StreamLink<F> {
    sockets: [Socket; 2],
    flows: [Flow; 2],
    decide: F,
    /// All replies. They are as long as the requests, as those begin with a timestamp placeholder.
    replies: Vec<u8>,
    log: Log,
}

impl<F: FnMut(u64) -> Fate> StreamLink<F> {
    pub(super) fn new(facing: TcpStream, beyond: TcpStream, segment_lens: (usize, usize), decide: F) -> Self {
        facing.set_nodelay(true).unwrap();
        beyond.set_nodelay(true).unwrap();
        let flow =
            |segment_len| Flow { segment_len, held: VecDeque::new(), bytes_received: 0, bytes_sent: 0 };
        Self {
            sockets: [facing, beyond].map(timestamped),
            flows: [flow(segment_lens.0), flow(segment_lens.1)],
            decide,
            replies: Vec::new(),
            log: Log::default(),
        }
    }

    /// Forwards until one side closes the connection.
    pub(super) fn run(mut self, stop: &AtomicBool) -> Log {
        let (poll, mut events) = (Poll::new().unwrap(), Events::with_capacity(4));
        self.sockets.iter().for_each(|socket| poll.add(socket, 0, Interest::READ).unwrap());
        let mut buffer = [0; 65_536];
        while !stop.load(Ordering::Relaxed) {
            let dues = self.flows.iter().filter_map(|flow| flow.held.front().map(|(due, _)| *due));
            wait(&poll, &mut events, dues.min());
            for direction in [UP, DOWN] {
                match receive(&self.sockets[direction], &mut buffer) {
                    Some(arrival) if arrival.len == 0 => return self.close(),
                    Some(arrival) => self.hold(direction, &buffer[..arrival.len], arrival.time),
                    None => {}
                }
                while self.flows[direction].held.front().is_some_and(|(due, _)| *due <= now()) {
                    let (_, bytes) = self.flows[direction].held.pop_front().unwrap();
                    if self.forward(direction, &bytes).is_err() {
                        return self.close();
                    }
                }
            }
        }
        self.close()
    }

    fn close(self) -> Log {
        self.sockets.iter().for_each(|socket| drop(socket.shutdown(Shutdown::Both)));
        self.log
    }

    fn hold(&mut self, direction: usize, bytes: &[u8], time: Duration) {
        let flow = &mut self.flows[direction];
        let (first, end) = (flow.bytes_received, flow.bytes_received + bytes.len());
        let fates = (first / REQUEST_LEN..=(end - 1) / REQUEST_LEN).map(|index| (self.decide)(number(index)));
        let delays = fates.map(|fate| if direction == UP { fate.up.delay } else { fate.down.delay });
        let delay = delays.max().unwrap();
        flow.held.push_back((time + delay, bytes.to_vec()));
        flow.bytes_received = end;
        if direction == UP {
            // A request has arrived when its last byte has.
            for index in first / REQUEST_LEN..end / REQUEST_LEN {
                self.log.requests.entry(number(index)).or_default().arrived_ns = nanos(time);
            }
        } else {
            self.replies.extend_from_slice(bytes);
        }
    }

    fn forward(&mut self, direction: usize, bytes: &[u8]) -> io::Result<()> {
        for segment in bytes.chunks(self.flows[direction].segment_len) {
            let before = nanos(now());
            send(&self.sockets[1 - direction], segment)?;
            let after = nanos(now());
            let flow = &mut self.flows[direction];
            let complete = flow.bytes_sent / REQUEST_LEN..(flow.bytes_sent + segment.len()) / REQUEST_LEN;
            flow.bytes_sent += segment.len();
            for index in complete.filter(|_| direction == DOWN) {
                let reply = &self.replies[index * REQUEST_LEN..(index + 1) * REQUEST_LEN];
                let request = self.log.requests.entry(number(index)).or_default();
                request.server_ns = server_times(reply).filter(|_| sequence(reply) == Some(number(index)));
                request.replied_ns.push(before..=after);
                self.log.replies.push(number(index));
            }
        }
        Ok(())
    }
}

/// Returns the sequence number of the request at this index of the stream: the first one is 1.
fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap() + 1
}

/// Sends all bytes, waiting for buffer space.
fn send(socket: &Socket, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.send(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let [state] = ready([(socket.as_fd(), Interest::WRITE)], Some(PATIENCE))?;
                assert!(state.can_write(), "the receiver has not read for {PATIENCE:?}");
            }
            sent => bytes = &bytes[sent?..],
        }
    }
    Ok(())
}
