//! Passes a listening socket to another process with SCM_RIGHTS (unix(7)), as a privileged parent
//! does for a worker.
//!
//! Run it with `cargo run --example pass_descriptors`. The parent binds a port and passes the
//! listener to a child, which accepts a connection and sends its process id.
#![expect(clippy::print_stdout, reason = "the example prints its result")]

use std::error::Error;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::AsFd;
use std::process::{self, Command};
use std::{env, io};

use echosounder_socket::{
    ControlSpace, MessageFlags, SendControl, ServerOptions, Socket, Transport, create_server,
};

fn main() -> Result<(), Box<dyn Error>> {
    match env::args().nth(1).as_deref() {
        Some("worker") => worker(),
        _ => parent(),
    }
}

fn parent() -> Result<(), Box<dyn Error>> {
    // The child receives its end of the pair as standard input.
    let (ours, theirs) = Transport::UnixStream.pair()?;
    let mut child = Command::new(env::current_exe()?).arg("worker").stdin(theirs.into_fd()).spawn()?;

    let listener = create_server(("localhost", 0), ServerOptions::default())?;
    let address = listener.local_addr()?;
    let fds = [listener.as_fd()];
    let rights = [SendControl::Rights(&fds)];
    ours.send_msg(&[IoSlice::new(b"listener")], &rights, None, MessageFlags::NONE)?;
    drop(listener); // The worker's descriptor keeps the socket open.

    let client = Transport::Tcp.socket(&address)?;
    client.connect(&address)?;
    let mut buffer = [0; 64];
    let len = client.recv(&mut buffer)?;
    println!("Parent {} received: {}", process::id(), buffer[..len].escape_ascii());
    child.wait()?;
    Ok(())
}

fn worker() -> Result<(), Box<dyn Error>> {
    let parent = Socket::from_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut buffer = [0; 64];
    let space = ControlSpace::rights(1);
    let mut message = parent.recv_msg(&mut [IoSliceMut::new(&mut buffer)], space, MessageFlags::NONE)?;
    let listener = Socket::from_fd(message.take_rights().pop().ok_or("the parent passed no descriptor")?)?;
    let (connection, _) = listener.accept()?;
    connection.send_all(format!("accepted by worker {}", process::id()).as_bytes())?;
    Ok(())
}
