//! Peers that send and never read.

use echosounder_socket::{Socket, Transport, raise_fd_limit};

use crate::harness::{TestWorker, receive, receive_all, send};
use crate::size;

/// Says the same over and over until nothing goes any more, and returns how many bytes went.
fn push(table: &mut TestWorker, peer: &Socket) -> usize {
    let mut said = 0;
    loop {
        match send(peer, &[b'x'; 4096]) {
            0 => return said,
            taken => said += taken,
        }
        table.turn();
        assert!(said < 10 << 20, "nobody stops a peer that never reads");
    }
}

#[test]
fn a_peer_that_never_reads_is_not_read_and_the_others_are_served() {
    let mut table = TestWorker::new("ctime", size(1024), 1 << 20);
    let deaf = table.connect(Transport::UnixStream, "deaf", 4096);
    let polite = table.connect(Transport::UnixStream, "polite", 4096);
    let mut said = 0;
    loop {
        let taken = push(&mut table, &deaf);
        said += taken;
        table.settle();
        if taken == 0 {
            break;
        }
    }
    let answered = table.totals().bytes;
    for _ in 0..100 {
        assert_eq!(send(&polite, b"hello"), 5);
        table.turn();
        assert_eq!(receive_all(&polite)[27..], *b"hello");
    }
    assert_eq!(table.totals().bytes, answered + 500, "of the deaf peer nothing was read meanwhile");

    let mut heard = 0;
    while let Some(more) = receive(&deaf, 4096) {
        heard += more.iter().filter(|&&byte| byte == b'x').count();
        table.settle();
    }
    assert_eq!(heard, said, "once it reads, it hears everything");
}

#[test]
fn what_is_kept_for_all_together_is_bounded() {
    const BACKLOG_MAX: usize = 64 * 1024;
    let descriptors = usize::try_from(raise_fd_limit().unwrap()).unwrap();
    let mut table = TestWorker::new("none", size(1024), BACKLOG_MAX);
    let polite = table.connect(Transport::UnixStream, "polite", 4096);
    let mut deaf: Vec<(Socket, usize)> = (0..500.min(descriptors / 4))
        .map(|number| (table.connect(Transport::UnixStream, &number.to_string(), 4096), 0))
        .collect();

    let mut idle = 0;
    let mut hellos = 0;
    while idle < 3 {
        let before: usize = deaf.iter().map(|(_, said)| said).sum();
        for (peer, said) in &mut deaf {
            *said += send(peer, &[b'x'; 3000]);
        }
        hellos += send(&polite, b"hello");
        table.settle();
        assert_eq!(receive_all(&polite), b"hello");
        let after: usize = deaf.iter().map(|(_, said)| said).sum();
        idle = if before == after { idle + 1 } else { 0 };
    }

    // The worker takes no turn while they all read: what they hear has left it, the rest of the answers is kept.
    let answered = usize::try_from(table.totals().bytes).unwrap();
    let mut heard: Vec<usize> = deaf.iter().map(|(peer, _)| receive_all(peer).len()).collect();
    let kept = answered - hellos - heard.iter().sum::<usize>();
    assert!(0 < kept && kept <= BACKLOG_MAX, "{kept} bytes are kept");

    for round in 0.. {
        table.settle();
        for ((peer, _), heard) in deaf.iter().zip(&mut heard) {
            *heard += receive_all(peer).len();
        }
        if deaf.iter().zip(&heard).all(|((_, said), heard)| said == heard) {
            break;
        }
        assert!(round < 1000, "not everybody hears everything");
    }
}

#[test]
fn what_was_kept_for_a_peer_that_is_gone_is_free_again() {
    let mut table = TestWorker::new("none", size(1024), 64 * 1024);
    // How much is read at once tells how much is left.
    let read_at_once = |table: &mut TestWorker| {
        let peer = table.connect(Transport::UnixStream, "polite", 100_000);
        assert_eq!(send(&peer, &[b'x'; 20_000]), 20_000);
        table.turn();
        receive_all(&peer).len()
    };
    let at_first = read_at_once(&mut table);
    table.settle();
    for _ in 0..100 {
        let deaf = table.connect(Transport::UnixStream, "deaf", 4096);
        push(&mut table, &deaf);
        drop(deaf);
        table.settle();
    }
    assert_eq!(table.worker.connections(), 0);
    assert_eq!(read_at_once(&mut table), at_first);
}
