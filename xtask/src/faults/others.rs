//! The same attacks on other echo servers, to compare with.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use echosounder_testkit::Program;

use crate::command::output;
use crate::faults::frame::BROADCAST_MAC;
use crate::faults::lab::{Lab, PEER, SERVER};
use crate::faults::row::{Figures, Row, Scale, Verdict};
use crate::faults::server::binary;
use crate::faults::wire::{Wire, forged, to_mac};

pub(crate) const ROWS: &[Row] = &[Row::new(
    91,
    "others",
    "no condition: the row shows how other servers do under rows 1, 4 and 5",
    others,
)];

/// The port of the echo service.
const ECHO: u16 = 7;

/// The low and the known source ports that are tried.
const PORTS: [u16; 14] = [7, 9, 13, 17, 19, 37, 53, 123, 513, 1023, 1900, 2049, 5353, 11_211];

/// Starts each server that is installed, and counts what it replies to.
fn others(_scale: Scale) -> Result<Verdict> {
    let folder = tempfile::tempdir()?;
    let (inetd, xinetd) = (folder.path().join("inetd.conf"), folder.path().join("xinetd.conf"));
    fs::write(&inetd, "echo dgram udp wait root internal\n")?;
    fs::write(
        &xinetd,
        "service echo\n{\ntype = INTERNAL\nid = echo-dgram\nsocket_type = dgram\nprotocol = udp\n\
         user = root\nwait = yes\ndisable = no\n}\n",
    )?;
    let (inetd, xinetd) = (inetd.display().to_string(), xinetd.display().to_string());
    let ours = binary().display().to_string();
    let servers: [(&str, &str, Vec<&str>); 5] = [
        ("sounder", &ours, vec!["serve", "udp://:7"]),
        ("inetd", "inetd", vec!["-i", &inetd]),
        ("xinetd", "xinetd", vec!["-dontfork", "-f", &xinetd]),
        ("socat", "socat", vec!["UDP4-RECVFROM:7,fork", "PIPE"]),
        ("ncat", "ncat", vec!["-u", "-l", "--keep-open", "-e", "/bin/cat", "7"]),
    ];
    let mut figures = Figures::default();
    for (name, program, arguments) in servers {
        if output(Command::new("sh").args(["-c", "command -v \"$0\"", program])).is_err() {
            figures.add(format!("{name}: not installed"), true);
            continue;
        }
        let lab = Lab::new()?;
        let server = Program::start(lab.server.command(program).args(arguments));
        let Some([looped, ports, broadcast]) = attack(&lab)? else {
            figures.add(format!("{name}: gives no reply"), true);
            continue;
        };
        drop(server);
        let text = format!(
            "{name}: {looped} replies in the loop, {ports} of {} source ports, {broadcast} of 2 broadcasts",
            PORTS.len()
        );
        figures.add(text, true);
    }
    Ok(figures.verdict("one forged datagram from an exact echo, one from each port, and two broadcasts"))
}

/// Attacks the echo service of the server's host. Returns how many replies an exact echo got
/// within a second, how many ports of services, and how many broadcasts. `None` if the server does
/// not reply to anybody.
fn attack(lab: &Lab) -> Result<Option<[u64; 3]>> {
    let to = SocketAddr::from((SERVER, ECHO));
    let client = lab.peer.run(|| UdpSocket::bind((PEER, 0)))?;
    client.set_read_timeout(Some(Duration::from_millis(100)))?;
    let start = Instant::now();
    loop {
        client.send_to(b"hello", to)?;
        if client.recv(&mut [0; 64]).is_ok() {
            break;
        }
        if Duration::from_secs(5) < start.elapsed() {
            return Ok(None);
        }
    }
    let quiet = Duration::from_millis(300);
    let mut counts = [0; 3];
    let wire = Wire::open(&lab.peer)?;
    for port in PORTS {
        wire.forge((PEER, port).into(), to, b"x")?;
        // Some servers reply to one sender at a time, so the ports do not overlap.
        let mut is_answered = false;
        wire.watch(quiet, Duration::from_secs(2), |_, arrives| is_answered |= arrives)?;
        counts[1] += u64::from(is_answered);
    }
    let broadcasts = [Ipv4Addr::new(10, 99, 255, 255), Ipv4Addr::BROADCAST];
    for address in broadcasts {
        wire.send(&[to_mac(BROADCAST_MAC, (PEER, 40_000).into(), (address, ECHO).into(), b"x")])?;
    }
    wire.watch(quiet, Duration::from_secs(2), |_, arrives| counts[2] += u64::from(arrives))?;
    // The exact echo on the peer's side: everything that arrives goes back.
    let echo = lab.peer.run(|| UdpSocket::bind((PEER, 7777)))?;
    echo.set_read_timeout(Some(Duration::from_millis(100)))?;
    wire.send(&[forged((PEER, 7777).into(), to, b"x")])?;
    let (start, mut buffer) = (Instant::now(), [0; 2048]);
    while start.elapsed() < Duration::from_secs(1) {
        if let Ok((len, from)) = echo.recv_from(&mut buffer) {
            counts[0] += 1;
            let _ = echo.send_to(&buffer[..len], from);
        }
    }
    Ok(Some(counts))
}
