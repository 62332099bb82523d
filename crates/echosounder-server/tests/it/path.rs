//! UNIX socket paths: a live socket is never replaced, a dead one is, and only the server's own
//! path is removed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::sync::Barrier;
use std::thread;

use echosounder_server::{BindError, Server};

use crate::{Client, Folder, config, start, stop, stopping};

const SCHEMES: [&str; 3] = ["unix", "unix-dgram", "unix-seqpacket"];

/// Leaves a socket at the path that no process is bound to.
fn leave_dead_socket(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
}

fn is_in_use(result: &Result<Server, BindError>) -> bool {
    matches!(result, Err(BindError::Bind(error)) if error.cause().kind() == io::ErrorKind::AddrInUse)
}

#[test]
fn a_dead_socket_is_replaced_and_removed_at_the_end() {
    for scheme in SCHEMES {
        let folder = Folder::new();
        leave_dead_socket(&folder.path().join("s"));
        let (running, endpoints) = start(config(&[&folder.endpoint(scheme, "s")]));
        Client::of(&endpoints[0]).echo(b"hello");
        stop(running);
        assert!(!folder.path().join("s").exists());
    }
}

#[test]
fn a_live_socket_is_never_replaced() {
    for scheme in SCHEMES {
        let folder = Folder::new();
        let stream = UnixListener::bind(folder.path().join("stream")).unwrap();
        let datagram = UnixDatagram::bind(folder.path().join("dgram")).unwrap();
        for name in ["stream", "dgram"] {
            assert!(is_in_use(&config(&[&folder.endpoint(scheme, name)]).bind()), "{scheme} {name}");
            assert!(fs::symlink_metadata(folder.path().join(name)).unwrap().file_type().is_socket());
        }
        // Neither socket noticed the attempt.
        stream.set_nonblocking(true).unwrap();
        assert_eq!(stream.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        datagram.set_nonblocking(true).unwrap();
        assert_eq!(datagram.recv(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

#[test]
fn other_files_are_left_alone() {
    for scheme in SCHEMES {
        let folder = Folder::new();
        fs::write(folder.path().join("file"), "precious").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        leave_dead_socket(&folder.path().join("dead"));
        symlink(folder.path().join("dead"), folder.path().join("link")).unwrap();
        symlink(folder.path().join("nothing"), folder.path().join("dangling")).unwrap();
        for name in ["file", "folder", "link", "dangling"] {
            assert!(is_in_use(&config(&[&folder.endpoint(scheme, name)]).bind()), "{scheme} {name}");
        }
        assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "precious");
        assert!(folder.path().join("folder").is_dir() && folder.path().join("dead").exists());
        assert!(folder.path().join("link").is_symlink() && folder.path().join("dangling").is_symlink());
        assert!(!folder.path().join("nothing").exists());
    }
}

#[test]
fn a_path_that_belongs_to_another_by_now_is_not_removed() {
    for scheme in SCHEMES {
        let folder = Folder::new();
        let (first, _) = start(config(&[&folder.endpoint(scheme, "s")]));
        fs::remove_file(folder.path().join("s")).unwrap();
        let (second, endpoints) = start(config(&[&folder.endpoint(scheme, "s")]));
        stop(first);
        Client::of(&endpoints[0]).echo(b"hello");
        fs::remove_file(folder.path().join("s")).unwrap();
        fs::write(folder.path().join("s"), "a file of another program").unwrap();
        stop(second);
        assert!(folder.path().join("s").is_file());
    }
}

#[test]
fn permissions_are_the_mode_less_the_umask() {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:")).unwrap().trim();
    let umask = u32::from_str_radix(umask, 8).unwrap();
    for scheme in SCHEMES {
        for mode in [0o600, 0o640, 0o666, 0o777] {
            let folder = Folder::new();
            let mut config = config(&[&folder.endpoint(scheme, "s")]);
            config.unix_mode = mode;
            let _server = config.bind().unwrap();
            let found = fs::metadata(folder.path().join("s")).unwrap().permissions().mode() & 0o7777;
            assert_eq!(found, mode & !umask);
        }
    }
}

/// Starts several servers at once at the path of a dead socket, and checks that exactly one of them
/// succeeds.
fn race(folder: &Folder, scheme: &str, rounds: usize) {
    const STARTERS: usize = 4;
    let endpoint = folder.endpoint(scheme, "s");
    for round in 0..rounds {
        leave_dead_socket(&folder.path().join("s"));
        let barrier = Barrier::new(STARTERS);
        let results: Vec<_> = thread::scope(|scope| {
            let starter = || {
                barrier.wait();
                config(&[&endpoint]).bind()
            };
            let starters: Vec<_> = (0..STARTERS).map(|_| scope.spawn(starter)).collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "{scheme}, round {round}: {lost:?}");
        assert!(lost.iter().all(is_in_use), "{lost:?}");
        let running = won.into_iter().next().unwrap().unwrap().start().unwrap();
        Client::of(&endpoint.parse().unwrap()).echo(b"hello");
        stop(running);
        assert!(!folder.path().join("s").exists());
    }
}

#[test]
fn one_of_many_servers_that_start_at_once_succeeds() {
    for scheme in SCHEMES {
        let folder = Folder::new();
        race(&folder, scheme, 50);
        assert_eq!(fs::read_dir(folder.path().join("")).unwrap().count(), 0, "no file is left in the folder");
    }
}

#[test]
fn a_lock_on_the_folder_does_not_keep_a_server_from_starting() {
    for scheme in SCHEMES {
        let folder = Folder::new();
        let file = File::open(folder.path().join("")).unwrap();
        file.lock().unwrap();
        race(&folder, scheme, 10);
        assert_eq!(fs::read_dir(folder.path().join("")).unwrap().count(), 0, "no file is left in the folder");
    }
}

#[test]
fn a_dead_socket_is_replaced_even_without_the_lock() {
    for scheme in SCHEMES {
        // The lock is a link, or a file that another program holds locked.
        for is_held in [false, true] {
            let folder = Folder::new();
            let lock = folder.path().join(".s.lock");
            let file = if is_held {
                let file = File::create(&lock).unwrap();
                file.lock().unwrap();
                Some(file)
            } else {
                symlink(folder.path().join("elsewhere"), &lock).unwrap();
                None
            };
            leave_dead_socket(&folder.path().join("s"));
            let endpoint = folder.endpoint(scheme, "s");
            let (running, endpoints) = start(config(&[&endpoint]));
            Client::of(&endpoints[0]).echo(b"hello");
            assert!(is_in_use(&config(&[&endpoint]).bind()));
            stop(running);
            assert_eq!(
                lock.symlink_metadata().unwrap().is_symlink(),
                file.is_none(),
                "the lock is left alone"
            );
            assert!(!folder.path().join("elsewhere").exists());
        }
    }
}

#[test]
fn a_successor_keeps_the_path_of_a_server_that_is_still_ending() {
    let folder = Folder::new();
    let endpoint = folder.endpoint("unix", "s");
    let (first, endpoints) = start(config(&[&endpoint]));
    let idle = Client::of(&endpoints[0]);
    idle.echo(b"hello");
    let stopped = stopping(first);
    assert_eq!(idle.recv(), b"", "the first server has shut down and waits for its client");
    let (second, endpoints) = start(config(&[&endpoint]));
    drop(idle);
    stopped.recv().unwrap().unwrap();
    Client::of(&endpoints[0]).echo(b"hello");
    stop(second);
}
