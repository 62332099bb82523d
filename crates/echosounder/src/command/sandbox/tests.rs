//! Each test restricts one thread, since the sandbox holds for a thread and the threads that it
//! creates.

use std::fmt::Display;
use std::fs::{self, File, read_dir};
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, process, thread};

use echosounder_socket::Signal;
use echosounder_socket::internal::kernel;
use nix::libc;
use seccompiler::SeccompAction;

use super::*;

/// Reports a skipped test as the integration tests do. Their helpers are not in the package.
#[expect(clippy::print_stdout, reason = "a test reports to its log")]
fn skip(reason: impl Display) {
    println!("skipped kernel features: {reason}");
}

/// Returns an abstract name for one test.
fn name_of(test: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(format!("sounder-test-{}-{test}", process::id())).unwrap()
}

/// Runs `attempt` in a thread that `restrict` has restricted. Returns `None` if that is impossible on
/// this machine.
fn restricted<T: Send>(
    restrict: impl FnOnce() -> io::Result<()> + Send,
    attempt: impl FnOnce() -> T + Send,
) -> Option<T> {
    let attempt = || match restrict() {
        Ok(()) => Some(attempt()),
        Err(error) => {
            skip(error);
            None
        }
    };
    thread::scope(|scope| scope.spawn(attempt).join().unwrap())
}

/// Skips on kernels that lack some of the rules.
fn with_landlock<T: Send>(needs: &Needs, attempt: impl FnOnce() -> T + Send) -> Option<T> {
    if kernel::landlock().is_ok_and(|version| version < 6) {
        skip("Landlock is older than version 6");
        return None;
    }
    restricted(|| files::restrict(needs), attempt)
}

fn with_seccomp<T: Send>(attempt: impl FnOnce() -> T + Send) -> Option<T> {
    let refusal = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    restricted(|| calls::restrict(refusal, false), attempt)
}

/// Returns the kind of the error.
#[track_caller]
fn error<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("the sandbox refuses it").kind()
}

fn needs_of(endpoints: &[&str]) -> Needs {
    let endpoints: Vec<Endpoint> = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
    needs(endpoints.iter())
}

#[test]
fn needs_are_the_folders_of_paths_and_the_names_of_datagram_clients() {
    let needs = needs_of(&["tcp://127.0.0.1:1", "unix:/run/a/s", "unix-seqpacket:s", "unix:@name"]);
    assert!(needs.folders.iter().map(|folder| folder.to_str().unwrap()).eq(["/run/a", "."]));
    assert!(!needs.abstract_peers);
    assert!(needs_of(&["udp://127.0.0.1:1", "unix-dgram:@name"]).abstract_peers);
}

#[test]
fn landlock_refuses_files_ports_and_other_processes() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let name = name_of("refused");
    let peer = UnixDatagram::bind_addr(&name).unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let attempts = || {
        [
            error(File::open("/etc/passwd")),
            error(File::create(folder.path().join("file"))),
            error(read_dir("/")),
            error(UnixListener::bind(folder.path().join("socket"))),
            Command::new("true").exec().kind(),
            error(TcpListener::bind("127.0.0.1:0")),
            error(TcpStream::connect(port)),
            error(Signal::Terminate.send(child.id())),
            error(UnixDatagram::unbound().unwrap().connect_addr(&name)),
        ]
    };
    let refused = with_landlock(&Needs::default(), attempts);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(peer);
    assert_eq!(refused.unwrap_or([ErrorKind::PermissionDenied; 9]), [ErrorKind::PermissionDenied; 9]);
}

#[test]
fn landlock_allows_what_the_server_needs() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sockets = [&folder, &other].map(|folder| folder.path().join("socket"));
    let listeners = sockets.clone().map(|path| UnixListener::bind(path).unwrap());
    let name = name_of("allowed");
    let peer = UnixDatagram::bind_addr(&name).unwrap();
    let endpoints = [format!("unix:{}", folder.path().join("socket").display()), "unix-dgram:@name".into()];
    let needs = needs_of(&endpoints.each_ref().map(String::as_str));
    with_landlock(&needs, || {
        UnixDatagram::unbound().unwrap().send_to_addr(b"hello", &name).unwrap();
        assert_eq!(error(fs::remove_file(&sockets[1])), ErrorKind::PermissionDenied);
        fs::remove_file(&sockets[0]).unwrap();
        // References serve as addresses of clients.
        File::options().read(true).custom_flags(libc::O_PATH).open(&sockets[1]).unwrap();
    });
    drop((listeners, peer));
}

#[test]
fn seccomp_refuses_new_sockets_processes_and_open_files() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let refused = with_seccomp(|| {
        [
            error(File::open("/etc/passwd")),
            error(read_dir("/")),
            error(fs::create_dir("/tmp/sounder")),
            error(fs::rename("/tmp/sounder", "/tmp/sounder-2")),
            error(TcpListener::bind("127.0.0.1:0")),
            error(UdpSocket::bind("127.0.0.1:0")),
            Command::new("true").exec().kind(),
            error(Command::new("true").spawn()),
            error(Signal::Terminate.send(child.id())),
            error(kernel::io_uring()),
            error(kernel::landlock()),
        ]
    });
    child.kill().unwrap();
    child.wait().unwrap();
    drop(listener);
    assert_eq!(refused.unwrap_or([ErrorKind::PermissionDenied; 11]), [ErrorKind::PermissionDenied; 11]);
}

#[test]
fn seccomp_allows_threads_clocks_memory_and_replies() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap();
    let mut client = TcpStream::connect(port).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    with_seccomp(|| {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        socket.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
        // Threads are restricted, too.
        let inherited = thread::scope(|scope| {
            let attempt = || {
                let memory = vec![1_u8; 64 << 20];
                (memory[memory.len() - 1], error(UdpSocket::bind("127.0.0.1:0")))
            };
            scope.spawn(attempt).join().unwrap()
        });
        assert_eq!(inherited, (1, ErrorKind::PermissionDenied));
        assert!(fs::symlink_metadata("/").is_ok() && !io::stdin().is_terminal());
    });
}

#[test]
fn only_a_reflector_reads_the_state_of_the_clock_and_none_sets_it() {
    let refusal = || SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let state = |reads_clock| {
        restricted(
            move || {
                drop_clock_capability()?;
                calls::restrict(refusal(), reads_clock)
            },
            kernel::clock_state,
        )
    };
    let Some(without) = state(false) else { return };
    assert_eq!(error(without), ErrorKind::PermissionDenied);
    assert!(state(true).unwrap().is_ok());
    let capabilities = thread::scope(|scope| {
        let effective = || {
            drop_clock_capability().unwrap();
            let status = fs::read_to_string("/proc/thread-self/status").unwrap();
            let sets = status
                .lines()
                .filter_map(|line| line.strip_prefix("CapEff:").or_else(|| line.strip_prefix("CapPrm:")));
            sets.map(|set| u64::from_str_radix(set.trim(), 16).unwrap()).collect::<Vec<_>>()
        };
        scope.spawn(effective).join().unwrap()
    });
    assert_eq!(capabilities.len(), 2);
    // CAP_SYS_TIME, linux/capability.h.
    assert!(capabilities.iter().all(|set| set & 1 << 25 == 0), "{capabilities:x?}");
}

/// The test runs itself in a child process, which the refused call ends.
#[test]
#[cfg(debug_assertions)]
fn refused_call_is_named() {
    const CHILD: &str = "SOUNDER_TEST_REFUSED_CALL";
    if env::var_os(CHILD).is_some() {
        return drop(restricted(
            || calls::restrict(calls::REFUSAL, false),
            || UdpSocket::bind("127.0.0.1:0"),
        ));
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "--nocapture", "command::sandbox::tests::refused_call_is_named"]).env(CHILD, "1");
    let done = child.output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    if stderr.contains("skipped kernel features: ") {
        return skip(stderr);
    }
    assert_eq!(done.status.code(), Some(128 + libc::SIGSYS), "{stderr}");
    assert!(stderr.contains("sounder: the sandbox refuses the system call socket ("), "{stderr}");
}
