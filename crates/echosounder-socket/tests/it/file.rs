//! Sockets as files, and sending files over sockets.

use std::fs::{self, File};
use std::io::{self, BufRead, ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use echosounder_socket::{Shutdown, Socket, SocketFile, Transport, option};
use echosounder_testkit::pipe;

use crate::alone::{Process, is_alone, send_line};
use crate::{Folder, PATIENCE, field, skip};

fn pair() -> (Socket, Socket) {
    let (one, other) = Transport::UnixStream.pair().unwrap();
    other.set_timeout(Some(PATIENCE)).unwrap();
    (one, other)
}

/// Receives all bytes up to the end.
fn rest(socket: &Socket) -> Vec<u8> {
    let mut received = Vec::new();
    let mut reader = socket;
    reader.read_to_end(&mut received).unwrap();
    received
}

fn file_with(folder: &Folder, content: &[u8]) -> File {
    let path = folder.path_of_len(90);
    fs::write(&path, content).unwrap();
    File::open(&path).unwrap()
}

#[test]
fn timed_out_file_refuses_reads() {
    let (one, other) = pair();
    other.set_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut file = other.make_file().unwrap();
    one.send(b"half a l").unwrap();
    let mut line = String::new();
    assert_eq!(file.read_line(&mut line).unwrap_err().kind(), ErrorKind::TimedOut);
    one.send(b"ine\n").unwrap();
    for _ in 0..2 {
        let error = file.read_line(&mut line).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Other);
        assert_eq!(error.to_string(), "an earlier read of this file timed out");
        assert_eq!(file.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::Other);
    }
    // The file can still be written, and the socket can still be read.
    file.write_all(b"sorry").unwrap();
    file.flush().unwrap();
    assert_eq!(one.recv(&mut [0; 16]).unwrap(), 5);
    let mut buffer = [0; 16];
    assert_eq!(other.recv(&mut buffer).unwrap(), 4);
}

#[test]
fn nonblocking_read_can_be_repeated() {
    let (one, other) = pair();
    other.set_nonblocking(true).unwrap();
    let mut file = other.make_file().unwrap();
    assert_eq!(file.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    one.send(b"line\n").unwrap();
    let mut line = String::new();
    file.read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
}

/// The socket and the file share the descriptor's blocking mode, but each has its own timeout.
#[test]
fn file_waits_although_its_socket_has_a_timeout() {
    for timeout in [Some(Duration::ZERO), Some(Duration::from_millis(1))] {
        let (one, other) = pair();
        other.set_timeout(None).unwrap();
        let mut file = other.make_file().unwrap();
        other.set_timeout(timeout).unwrap();
        let (begun, begins) = mpsc::channel();
        let writer = thread::spawn(move || {
            for piece in [&b"half"[..], b" a line\nand", b" more"] {
                begins.recv().unwrap();
                one.send(piece).unwrap();
            }
            one
        });
        // The rest of each record is sent after the read has begun.
        begun.send(()).unwrap();
        assert_eq!(file.fill_buf().unwrap(), b"half");
        begun.send(()).unwrap();
        let mut line = String::new();
        file.read_line(&mut line).unwrap();
        assert_eq!(line, "half a line\n");
        begun.send(()).unwrap();
        let mut more = [0; 8];
        file.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"and more");

        // Writes wait too.
        let one = writer.join().unwrap();
        let reader = thread::spawn(move || rest(&one).len());
        file.write_all(&vec![7; 2_000_000]).unwrap();
        file.flush().unwrap();
        drop((file, other));
        assert_eq!(reader.join().unwrap(), 2_000_000);
    }
}

#[test]
fn file_uses_its_own_timeout() {
    let (_one, other) = pair();
    other.set_timeout(None).unwrap();
    let mut file = other.make_file().unwrap();
    file.set_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(file.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!((file.timeout(), other.timeout()), (Some(Duration::from_millis(10)), None));
    assert_eq!(file.as_fd().as_raw_fd(), file.get_ref().as_raw_fd());
    // After SO_RCVTIMEO has expired in the kernel, the file does not wait again.
    let mut file = other.make_file().unwrap();
    other.set_nonblocking(false).unwrap();
    other.set_option(option::SO_RCVTIMEO, Duration::from_millis(10)).unwrap();
    assert_eq!(file.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn partial_read_exact_refuses_further_reads() {
    let (one, other) = pair();
    other.set_nonblocking(true).unwrap();
    let mut file = other.make_file().unwrap();
    let mut buffer = [0; 8];
    assert_eq!(file.read_exact(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    one.send(b"12345678half").unwrap();
    file.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"12345678");
    assert_eq!(file.read_exact(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    one.send(b"rest").unwrap();
    let error = file.read(&mut buffer).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("received only a part")), (ErrorKind::Other, true));
}

/// A socket with a timeout after the file was created makes the shared descriptor non-blocking. The
/// file has no timeout and must wait.
#[test]
fn file_reads_on_after_its_socket_has_timed_out() {
    let (one, other) = pair();
    other.set_timeout(None).unwrap();
    let mut file = other.make_file().unwrap();
    other.set_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(other.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    let writer = thread::spawn(move || {
        one.send(b"late\n").unwrap();
        one
    });
    let mut line = String::new();
    file.read_line(&mut line).unwrap();
    assert_eq!(line, "late\n");
    writer.join().unwrap();
}

/// std's `read_line` and `read_to_string` drop a part of a character that precedes an error.
#[test]
fn partial_character_refuses_further_reads() {
    type ReadText = fn(&mut SocketFile, &mut String) -> io::Result<usize>;
    let reads: [ReadText; 2] = [|file, text| file.read_line(text), |file, text| file.read_to_string(text)];
    for read in reads {
        let (one, other) = pair();
        other.set_nonblocking(true).unwrap();
        let mut file = other.make_file().unwrap();
        let mut text = String::from("before ");
        // A part that ends between characters is returned, and the read can go on.
        one.send("grü".as_bytes()).unwrap();
        assert_eq!(read(&mut file, &mut text).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(text, "before grü");
        let bytes = "ße\n".as_bytes();
        one.send(&bytes[..1]).unwrap();
        assert_eq!(read(&mut file, &mut text).unwrap_err().kind(), ErrorKind::WouldBlock);
        one.send(&bytes[1..]).unwrap();
        let error = read(&mut file, &mut text).unwrap_err();
        assert!(error.to_string().contains("received only a part"), "{error}");
        assert_eq!(text, "before grü");
    }
}

#[test]
fn lines_that_are_not_utf8_are_invalid_data() {
    let (one, other) = pair();
    one.send(b"good\nb\xffad\ngood again\n").unwrap();
    drop(one);
    let mut file = other.make_file().unwrap();
    let mut text = String::new();
    assert_eq!(file.read_line(&mut text).unwrap(), 5);
    assert_eq!(file.read_line(&mut text).unwrap_err().kind(), ErrorKind::InvalidData);
    assert_eq!(file.read_line(&mut text).unwrap(), 11);
    assert_eq!(text, "good\ngood again\n");
    assert_eq!(file.read_line(&mut text).unwrap(), 0);
}

#[test]
fn halves_read_and_write_at_once() {
    let (client, server) = pair();
    let (reader, mut writer) = server.make_file().unwrap().into_split();
    assert_eq!(reader.as_fd().as_raw_fd(), writer.as_raw_fd());
    drop(server);
    let server = thread::spawn(move || {
        for line in reader.lines() {
            writeln!(writer, "[{}]", line.unwrap()).unwrap();
            writer.flush().unwrap();
        }
    });
    let mut file = client.make_file().unwrap();
    drop(client);
    let mut reply = String::new();
    for word in ["ahoy", "there"] {
        writeln!(file, "{word}").unwrap();
        file.flush().unwrap();
        file.read_line(&mut reply).unwrap();
    }
    assert_eq!(reply, "[ahoy]\n[there]\n");
    file.get_ref().shutdown(Shutdown::Write).unwrap();
    server.join().unwrap();
    assert_eq!(file.read(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn file_returns_its_socket() {
    let (one, other) = pair();
    let mut file = one.make_file().unwrap();
    let number = file.as_raw_fd();
    drop(one);
    other.send(b"line\nrest").unwrap();
    file.read_line(&mut String::new()).unwrap();
    assert_eq!(file.buffer(), b"rest");
    file.write_all(b"buffered").unwrap();
    let socket = file.into_inner().unwrap();
    assert_eq!((socket.as_raw_fd(), socket.timeout()), (number, None));
    assert_eq!(other.recv(&mut [0; 16]).unwrap(), 8);

    // A flush that fails is reported.
    let mut file = socket.make_file().unwrap();
    drop((socket, other));
    file.write_all(b"nobody").unwrap();
    assert_eq!(file.into_inner().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn connection_ends_with_its_last_file() {
    let (one, other) = pair();
    let files = [one.make_file().unwrap(), one.make_file().unwrap()];
    drop(one);
    for mut file in files {
        other.set_nonblocking(true).unwrap();
        assert_eq!(other.recv(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        file.write_all(b"bye").unwrap();
        drop(file);
        other.set_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(other.recv(&mut [0; 8]).unwrap(), 3);
    }
    assert_eq!(other.recv(&mut [0; 8]).unwrap(), 0);
}

#[test]
fn send_file_keeps_the_position() {
    let folder = Folder::new();
    let mut file = file_with(&folder, b"0123456789");
    file.seek(io::SeekFrom::Start(3)).unwrap();
    let (one, other) = pair();
    assert_eq!(one.send_file(&file, 2, Some(5)).unwrap(), 5);
    assert_eq!(one.send_file(&file, 8, None).unwrap(), 2);
    assert_eq!(one.send_file(&file, 10, None).unwrap(), 0);
    assert_eq!(one.send_file(&file, 1000, Some(1)).unwrap(), 0);
    assert_eq!(file.stream_position().unwrap(), 3);
    drop(one);
    assert_eq!(rest(&other), b"2345689");
}

#[test]
fn send_file_copies_where_sendfile_is_unsupported() {
    let (one, other) = pair();
    let version = fs::read("/proc/version").unwrap();
    let sent = one.send_file(&File::open("/proc/version").unwrap(), 0, None).unwrap();
    assert_eq!(sent, version.len() as u64);
    drop(one);
    assert_eq!(rest(&other), version);

    // A pipe has no position.
    let (one, _other) = pair();
    let (reader, mut writer) = pipe();
    writer.write_all(b"piped").unwrap();
    drop(writer);
    assert_eq!(one.send_file(&reader, 0, None).unwrap_err().source.raw_os_error(), Some(libc::ESPIPE));
}

#[test]
fn send_file_needs_a_blocking_stream() {
    let folder = Folder::new();
    let file = file_with(&folder, b"content");
    let (one, _other) = pair();
    one.set_nonblocking(true).unwrap();
    let (datagrams, _peer) = Transport::UnixDatagram.pair().unwrap();
    for socket in [one, datagrams] {
        let error = socket.send_file(&file, 0, None).unwrap_err();
        assert_eq!((error.sent, error.source.kind()), (0, ErrorKind::InvalidInput));
    }
}

#[test]
fn send_file_times_out_and_counts() {
    let folder = Folder::new();
    let file = file_with(&folder, &vec![7; 4_000_000]);
    let (one, other) = pair();
    one.set_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = one.send_file(&file, 0, None).unwrap_err();
    assert_eq!(error.source.kind(), ErrorKind::TimedOut);
    assert!(0 < error.sent && error.sent < 4_000_000);
    drop(one);
    assert_eq!(rest(&other).len() as u64, error.sent);
}

#[test]
fn send_file_sends_large_files_in_parts() {
    let folder = Folder::new();
    let content: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[index as usize % 3]).collect();
    let file = file_with(&folder, &content);
    let (one, other) = pair();
    for timeout in [None, Some(PATIENCE)] {
        one.set_timeout(timeout).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut received = vec![0; content.len()];
                (&other).read_exact(&mut received).unwrap();
                received
            });
            assert_eq!(one.send_file(&file, 0, None).unwrap(), content.len() as u64);
            assert!(reader.join().unwrap() == content);
        });
    }
}

/// sendfile(2) has no flag against SIGPIPE. The process restores the default action of SIGPIPE,
/// which std ignores.
#[test]
fn send_file_to_a_closed_peer_raises_no_signal() {
    if is_alone() {
        let set = |name| u64::from_str_radix(&field("/proc/thread-self/status", name), 16).unwrap();
        let pipe = 1 << (libc::SIGPIPE - 1);
        let (one, other) = pair();
        drop(other);
        let folder = Folder::new();
        let file = file_with(&folder, b"content");
        let before = (set("SigBlk:"), set("SigPnd:"), set("ShdPnd:"));
        let error = one.send_file(&file, 0, None).unwrap_err();
        assert_eq!((error.sent, error.source.kind()), (0, ErrorKind::BrokenPipe));
        let copied = one.send_file(&File::open("/proc/version").unwrap(), 0, None).unwrap_err();
        assert_eq!(copied.source.kind(), ErrorKind::BrokenPipe);
        assert_eq!((set("SigBlk:"), set("SigPnd:"), set("ShdPnd:")), before);
        return send_line(if set("SigBlk:") & pipe == 0 { "not blocked" } else { "blocked" });
    }
    // A blocked signal would stay pending and be visible here.
    let test = "file::send_file_to_a_closed_peer_raises_no_signal";
    for by in [&["env", "--block-signal=PIPE"][..], &[]] {
        match Process::start(by, test) {
            Ok(mut process) => {
                let line = process.next_line();
                assert_eq!(line, if by.is_empty() { "not blocked" } else { "blocked" });
                let (status, rest) = process.end();
                assert!(status.success() && status.signal().is_none(), "{rest}");
            }
            Err(error) => skip("sigpipe", error),
        }
    }
}
