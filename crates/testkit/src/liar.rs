//! Servers that violate the protocol on purpose, over any transport.

use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use echosounder_socket::option::SO_LINGER;
use echosounder_socket::{
    Address, Endpoint, MessageFlags, SendControl, ServerOptions, Shutdown, Socket, Transport, create_server,
};

/// Bytes of the two timestamps and the brackets at the beginning of a reply.
const PREFIX: usize = 42;

/// Timestamps that no honest clock shows, or that contradict each other.
pub const EXTREME_TIMESTAMPS: [[&str; 2]; 8] = [
    ["0000000000000000000", "0000000000000000001"],
    ["0000000000000000001", "9999999999999999999"],
    ["9223372036854775807", "9223372036854775807"],
    ["9223372036854775808", "0000000000000000001"],
    ["9999999999999999999", "9999999999999999999"],
    ["9999999999999999999", "0000000000000000001"],
    ["1700000000000000002", "1700000000000000001"],
    ["1700000000000000000", "1700000000000000000"],
];

/// The connection of a lying server with one client, or the socket of a datagram server.
#[derive(Debug)]
pub struct Victim {
    socket: Socket,
    transport: Transport,
    /// The last sender, of a datagram server.
    from: Option<Address>,
    /// How many clients the server had before.
    number: usize,
    is_over: Arc<AtomicBool>,
}

impl Victim {
    /// Receives a request, or a part of a stream; `None` when the client or the test is over.
    pub fn request(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let len = if self.transport.has_connections() {
            self.socket.recv(&mut buffer).ok().filter(|len| *len != 0)?
        } else {
            let (len, from) = self.socket.recv_from(&mut buffer).ok()?;
            self.from = Some(from);
            len
        };
        buffer.truncate(len);
        (!self.is_over.load(Ordering::Relaxed)).then_some(buffer)
    }

    /// Sends a message, or bytes of a stream. Returns whether the client may take more.
    pub fn send(&self, bytes: &[u8]) -> bool {
        let result = match &self.from {
            Some(from) => self.socket.send_to(bytes, from).map(drop),
            None => self.socket.send_all(bytes).map_err(|error| error.source),
        };
        result.is_ok() && !self.is_over.load(Ordering::Relaxed)
    }

    /// Calls `reply` for each request until the client or the test is over, or it returns `false`.
    fn each(&mut self, mut reply: impl FnMut(&mut Self, &[u8]) -> bool) {
        while let Some(request) = self.request() {
            if !reply(self, &request) {
                return;
            }
        }
    }

    /// Sends a message without an end.
    fn flood(&self, bytes: &[u8]) {
        while self.send(bytes) {}
    }

    /// Receives without replying.
    fn drain(&mut self) {
        self.each(|_, _| true);
    }
}

/// A way to lie: its name, the transports where it differs from the others, and what the server
/// does with a client.
#[derive(Clone, Copy, Debug)]
pub struct Lie {
    /// A few words for the messages of a failed test.
    pub name: &'static str,
    /// Whether the lie applies to a transport.
    pub applies: fn(Transport) -> bool,
    act: fn(&mut Victim),
}

impl Lie {
    const fn new(name: &'static str, applies: fn(Transport) -> bool, act: fn(&mut Victim)) -> Self {
        Self { name, applies, act }
    }
}

fn any(_: Transport) -> bool {
    true
}

fn connected(transport: Transport) -> bool {
    transport.has_connections()
}

fn tcp(transport: Transport) -> bool {
    transport == Transport::Tcp
}

fn unix(transport: Transport) -> bool {
    !transport.has_hosts()
}

/// The lies of the servers.
pub const LIES: &[Lie] = &[
    Lie::new("silent", any, Victim::drain),
    Lie::new("never reads", connected, |_| thread::park_timeout(Duration::from_secs(20))),
    Lie::new("endless data", any, |victim| {
        victim.request();
        victim.flood(&[b'x'; 1024]);
    }),
    Lie::new("endless lines", any, |victim| {
        victim.request();
        victim.flood(&b"line\n".repeat(200));
    }),
    Lie::new("endless greeting", connected, |victim| victim.flood(&[b'g'; 4096])),
    Lie::new("endless echo of the first request", any, |victim| {
        if let Some(request) = victim.request() {
            victim.flood(&request);
        }
    }),
    Lie::new("greeting of a MiB", connected, |victim| {
        for _ in 0..1024 {
            victim.send(&[b'g'; 1024]);
        }
        victim.each(|victim, request| victim.send(request));
    }),
    Lie::new("replies to requests never sent", any, |victim| {
        victim.each(|victim, request| {
            let numbers = ["0000000000000000000", "0000000000000000077", "9999999999999999999"];
            numbers.iter().all(|number| victim.send(&replace(request, PREFIX, number)))
        });
    }),
    Lie::new("replies to the numbers around u64::MAX", any, |victim| {
        victim.each(|victim, request| {
            let numbers = ["18446744073709551615", "18446744073709551616", "9223372036854775808"];
            numbers.iter().all(|number| victim.send(&replace(request, PREFIX, number)))
        });
    }),
    Lie::new("a thousand duplicates", any, |victim| {
        victim.each(|victim, request| (0..1000).all(|_| victim.send(request)));
    }),
    Lie::new("extreme timestamps", any, |victim| {
        let mut extremes = EXTREME_TIMESTAMPS.iter().cycle();
        victim.each(|victim, request| {
            let [rx, tx] = extremes.next().unwrap();
            victim.send(&replace(request, 0, &format!("[{rx} {tx}] ")))
        });
    }),
    Lie::new("half a timestamp", any, |victim| {
        victim.each(|victim, request| victim.send(&replace(request, 0, "[1700000000000000000 ")));
    }),
    Lie::new("a byte at a time", any, |victim| {
        victim.each(|victim, request| request.chunks(1).all(|byte| victim.send(byte)));
    }),
    Lie::new("drip below the timeout", any, |victim| {
        victim.each(|victim, request| {
            request.chunks(1).cycle().all(|byte| {
                thread::park_timeout(Duration::from_millis(100));
                victim.send(byte)
            })
        });
    }),
    Lie::new("huge replies", any, |victim| {
        let len = if victim.transport == Transport::Udp { 65_507 } else { 100_000 };
        victim.each(|victim, request| {
            let mut reply = vec![b'h'; len - request.len()];
            reply.extend_from_slice(request);
            victim.send(&reply)
        });
    }),
    Lie::new("closes within a reply", connected, |victim| {
        if let Some(request) = victim.request() {
            victim.send(&request[..victim.number % request.len()]);
        }
    }),
    Lie::new("resets within a reply", tcp, |victim| {
        if let Some(request) = victim.request() {
            victim.send(&request[..victim.number % request.len()]);
            victim.socket.set_option(SO_LINGER, Some(Duration::ZERO)).unwrap();
        }
    }),
    Lie::new("closes at once", connected, |_| {}),
    Lie::new("half-closes at once", connected, |victim| {
        let _ = victim.socket.shutdown(Shutdown::Write);
        victim.drain();
    }),
    Lie::new("half-closes after a reply", connected, |victim| {
        if let Some(request) = victim.request() {
            victim.send(&request);
        }
        let _ = victim.socket.shutdown(Shutdown::Write);
        victim.drain();
    }),
    Lie::new("urgent data", tcp, |victim| {
        victim.each(|victim, request| {
            victim.socket.send_all_with(&request[..1], MessageFlags::OOB).is_ok() && victim.send(request)
        });
    }),
    Lie::new(
        "a thousand empty messages",
        |transport| !transport.has_connections(),
        |victim| {
            victim.each(|victim, request| (0..1000).all(|_| victim.send(b"")) && victim.send(request));
        },
    ),
    Lie::new("descriptors", unix, |victim| {
        let file = File::open("/dev/null").unwrap();
        victim.each(|victim, request| {
            let files = [file.as_fd(); 8];
            let control = [SendControl::Rights(&files)];
            let to = victim.from.as_ref();
            victim.socket.send_msg(&[IoSlice::new(request)], &control, to, MessageFlags::NONE).is_ok()
        });
    }),
    Lie::new("control bytes", any, |victim| {
        let noise: Vec<u8> = (0..=255).chain(*b"\x1b]0;title\x07\x1b[2J\xc2\x9b31m\xff\xfe").collect();
        victim
            .each(|victim, request| victim.send(&[&noise, request, &noise].concat()) && victim.send(&noise));
    }),
];

/// Replaces the bytes of a request from `at` on.
fn replace(request: &[u8], at: usize, text: &str) -> Vec<u8> {
    let head = &request[..at.min(request.len())];
    let tail = request.get(at + text.len()..).unwrap_or_default();
    [head, text.as_bytes(), tail].concat()
}

/// A lying server. Dropping it ends what it sends.
#[derive(Debug)]
pub struct Liar {
    endpoint: String,
    is_over: Arc<AtomicBool>,
}

impl Liar {
    /// Starts a server at this endpoint that treats each client in the same way.
    ///
    /// # Panics
    ///
    /// If it cannot be bound.
    #[track_caller]
    pub fn start(lie: &Lie, endpoint: &str) -> Self {
        let asked: Endpoint = endpoint.parse().unwrap();
        let (transport, act) = (asked.transport(), lie.act);
        let server = create_server(endpoint, ServerOptions::default()).unwrap();
        let endpoint = Endpoint::display(transport, &server.local_addr().unwrap());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        thread::spawn(move || {
            let victim = |socket, number| {
                let is_over = Arc::clone(&over);
                Victim { socket, transport, from: None, number, is_over }
            };
            if !transport.has_connections() {
                let mut victim = victim(server, 0);
                while !victim.is_over.load(Ordering::Relaxed) {
                    act(&mut victim);
                }
                return;
            }
            for number in 0.. {
                let Ok((client, _)) = server.accept() else { return };
                let mut victim = victim(client, number);
                thread::spawn(move || act(&mut victim));
            }
        });
        Self { endpoint, is_over }
    }

    /// Returns its endpoint.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use echosounder_socket::create_connection;

    use super::*;

    #[test]
    fn parts_of_a_request_are_replaced() {
        assert_eq!(replace(b"0123456789", 2, "abc"), b"01abc56789");
        assert_eq!(replace(b"0123", 2, "abc"), b"01abc");
        assert_eq!(replace(b"0", 2, "abc"), b"0abc");
    }

    #[test]
    fn liar_sends_what_its_name_says() {
        let lie = LIES.iter().find(|lie| lie.name == "half-closes after a reply").unwrap();
        let liar = Liar::start(lie, "tcp://127.0.0.1:0");
        let client = create_connection(liar.endpoint(), None, None).unwrap();
        client.send_all(b"hello").unwrap();
        let mut buffer = [0; 16];
        assert_eq!(client.recv(&mut buffer).unwrap(), 5);
        assert_eq!(client.recv(&mut buffer).unwrap(), 0);
    }
}
