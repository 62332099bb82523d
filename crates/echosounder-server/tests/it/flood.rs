//! Clients that send and never receive.

use echosounder_socket::internal::raise_fd_limit;
use echosounder_socket::{Socket, Transport};

use crate::harness::{TestWorker, receive, receive_all, send};
use crate::size;

/// Sends until the socket takes no more, and returns the number of bytes.
fn push(server: &mut TestWorker, client: &Socket) -> usize {
    let mut sent = 0;
    loop {
        match send(client, &[b'x'; 4096]) {
            0 => return sent,
            taken => sent += taken,
        }
        server.turn();
        assert!(sent < 10 << 20, "the server reads without limit");
    }
}

#[test]
fn a_client_that_never_receives_is_not_read_and_others_are_served() {
    let mut server = TestWorker::new("ctime", size(1024), 1 << 20);
    let stalled = server.connect(Transport::UnixStream, "stalled", 4096);
    let other = server.connect(Transport::UnixStream, "other", 4096);
    let mut sent = 0;
    loop {
        let taken = push(&mut server, &stalled);
        sent += taken;
        server.settle();
        if taken == 0 {
            break;
        }
    }
    let replied = server.totals().bytes;
    for _ in 0..100 {
        assert_eq!(send(&other, b"hello"), 5);
        server.turn();
        assert_eq!(receive_all(&other)[27..], *b"hello");
    }
    assert_eq!(server.totals().bytes, replied + 500, "nothing is read from the client that does not receive");

    let mut received = 0;
    while let Some(more) = receive(&stalled, 4096) {
        received += more.iter().filter(|&&byte| byte == b'x').count();
        server.settle();
    }
    assert_eq!(received, sent, "the client can receive everything later");
}

#[test]
fn the_backlogs_together_are_bounded() {
    const BACKLOG_MAX: usize = 64 * 1024;
    let descriptors = usize::try_from(raise_fd_limit().unwrap()).unwrap();
    let mut server = TestWorker::new("none", size(1024), BACKLOG_MAX);
    let other = server.connect(Transport::UnixStream, "other", 4096);
    let mut stalled: Vec<(Socket, usize)> = (0..500.min(descriptors / 4))
        .map(|number| (server.connect(Transport::UnixStream, &number.to_string(), 4096), 0))
        .collect();

    let mut unchanged = 0;
    let mut hellos = 0;
    while unchanged < 3 {
        let before: usize = stalled.iter().map(|(_, sent)| sent).sum();
        for (client, sent) in &mut stalled {
            *sent += send(client, &[b'x'; 3000]);
        }
        hellos += send(&other, b"hello");
        server.settle();
        assert_eq!(receive_all(&other), b"hello");
        let after: usize = stalled.iter().map(|(_, sent)| sent).sum();
        unchanged = if before == after { unchanged + 1 } else { 0 };
    }

    // The worker takes no turn meanwhile, so what the clients receive now was in the kernel's
    // buffers.
    let replied = usize::try_from(server.totals().bytes).unwrap();
    let mut received: Vec<usize> = stalled.iter().map(|(client, _)| receive_all(client).len()).collect();
    let backlog = replied - hellos - received.iter().sum::<usize>();
    assert!(0 < backlog && backlog <= BACKLOG_MAX, "the backlog has {backlog} bytes");

    for round in 0.. {
        server.settle();
        for ((client, _), received) in stalled.iter().zip(&mut received) {
            *received += receive_all(client).len();
        }
        if stalled.iter().zip(&received).all(|((_, sent), received)| sent == received) {
            break;
        }
        assert!(round < 1000, "a client does not receive all its replies");
    }
}

#[test]
fn a_closed_connection_returns_its_part_of_the_budget() {
    let mut server = TestWorker::new("none", size(1024), 64 * 1024);
    // The size of a read depends on the unused budget.
    let read_size = |server: &mut TestWorker| {
        let client = server.connect(Transport::UnixStream, "other", 100_000);
        assert_eq!(send(&client, &[b'x'; 20_000]), 20_000);
        server.turn();
        receive_all(&client).len()
    };
    let before = read_size(&mut server);
    server.settle();
    for _ in 0..100 {
        let stalled = server.connect(Transport::UnixStream, "stalled", 4096);
        push(&mut server, &stalled);
        drop(stalled);
        server.settle();
    }
    assert_eq!(server.worker.connections(), 0);
    assert_eq!(read_size(&mut server), before);
}
