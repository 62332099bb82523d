//! UNIX sockets: return addresses that are replaced while the reply is under way.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::command::output;
use crate::faults::lab::Namespace;
use crate::faults::row::{Row, Scale, Verdict};
use crate::faults::server::Server;

pub(crate) const ROWS: &[Row] = &[Row::new(
    22,
    "swap",
    "no datagram reaches the socket that the return address is made a link to, and nothing loops",
    swapped_return_address,
)];

/// Row 22: another user replaces the path of his socket by a link to another socket.
fn swapped_return_address(scale: Scale) -> Result<Verdict> {
    let host = Namespace::new()?;
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    fs::set_permissions(path, Permissions::from_mode(0o777))?;
    let [one, other] = ["one", "other"].map(|name| format!("unix-dgram:{}", path.join(name).display()));
    let mode = ["--unix-mode", "666"];
    let (one, other) = (
        Server::start(&host, &[&mode[..], &[&one]].concat())?,
        Server::start(&host, &[&mode[..], &[&other]].concat())?,
    );
    for name in ["one", "other"] {
        fs::set_permissions(path.join(name), Permissions::from_mode(0o666))?;
    }
    let log = UnixDatagram::bind(path.join("log"))?;
    fs::set_permissions(path.join("log"), Permissions::from_mode(0o666))?;
    log.set_nonblocking(true)?;
    // Other users may not be able to read the folder of this program.
    let program = path.join("xtask");
    fs::copy(std::env::current_exe()?, &program)?;
    fs::set_permissions(&program, Permissions::from_mode(0o755))?;
    let rounds = scale.pick(300, 10_000).to_string();
    let mut peer = host.command("setpriv");
    peer.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&program);
    output(peer.arg("swap-return-address").arg(path).arg(&rounds)).context("the other user's program")?;
    let reached_log = std::iter::from_fn(|| log.recv(&mut [0; 2048]).ok()).count();
    one.check_alive()?;
    other.check_alive()?;
    let reached_other = other.counter("messages")? + other.counter("dropped")?;
    let (answered, refused) = (one.counter("messages")?, one.counter("dropped.forged")?);
    let figure = format!(
        "{answered} answered at their own socket, {refused} refused, {reached_other} at the other server, \
         {reached_log} at the log"
    );
    let holds = reached_other == 0 && reached_log == 0 && 0 < refused;
    Ok(Verdict::tried(
        format!("{rounds} swaps by user nobody, before and after the request is read"),
        figure,
        holds,
    ))
}

/// Sends requests to a server, each from a path that is replaced by a link to another socket: the
/// other server's or the log's. Runs as another user.
pub(crate) fn swap(folder: &Path, rounds: u32) -> Result<()> {
    for round in 0..rounds {
        let (own, link) = (folder.join(format!("own-{round}")), folder.join(format!("link-{round}")));
        symlink(folder.join(if round % 2 == 0 { "other" } else { "log" }), &link)?;
        let socket = UnixDatagram::bind(&own)?;
        socket.set_read_timeout(Some(Duration::from_millis(5)))?;
        if round % 3 == 0 {
            // The server reads the address after it has been replaced.
            socket.send_to(b"first", folder.join("one"))?;
            fs::rename(&link, &own)?;
        } else {
            // The replacement races with the server.
            let sender = socket.try_clone()?;
            let to = folder.join("one");
            let sending = std::thread::spawn(move || sender.send_to(b"race", to));
            fs::rename(&link, &own)?;
            sending.join().ok().context("the sender panicked")??;
        }
        // The reply, if the server was quicker than the replacement, keeps the queue short.
        let _ = socket.recv(&mut [0; 64]);
        fs::remove_file(&own)?;
    }
    Ok(())
}
