//! Two hosts, joined by an Ethernet link: network namespaces that exist as long as this program.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::process::{self, Command};
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns, unshare};

use crate::command::output;
use crate::faults::frame::Mac;

/// The interface of each host.
pub(crate) const LINK: &str = "eth0";

/// The server's hardware address.
pub(crate) const SERVER_MAC: Mac = [0x02, 0, 0, 0, 0, 1];
/// The peer's hardware address.
pub(crate) const PEER_MAC: Mac = [0x02, 0, 0, 0, 0, 2];

/// The server's addresses.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
pub(crate) const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);
/// The peer's addresses.
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
pub(crate) const PEER_V6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 2);
/// A second address of the peer, for a client that behaves well.
pub(crate) const HONEST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 3);

/// The port of the server that a row attacks.
pub(crate) const PORT: u16 = 21567;

/// A network namespace without a name. It ends when this object and all programs in it have ended.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    /// Creates a namespace whose loopback interface is up.
    pub(crate) fn new() -> Result<Self> {
        let create = || -> Result<File> {
            unshare(CloneFlags::CLONE_NEWNET)?;
            Ok(File::open("/proc/thread-self/ns/net")?)
        };
        let file = thread::scope(|scope| scope.spawn(create).join().expect("creating does not panic"));
        let namespace = Self(file.context("cannot create a network namespace")?);
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Returns a path that other programs can open while this one runs.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.0.as_raw_fd())
    }

    /// Moves the calling thread into the namespace.
    pub(crate) fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("root can enter its namespaces");
    }

    /// Runs a closure in the namespace, on a thread of its own.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let within = || {
            self.enter();
            work()
        };
        thread::scope(|scope| match scope.spawn(within).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Returns a command that runs a program in the namespace. The kernel kills the program when
    /// the thread that starts it ends.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path()));
        command.args(["setpriv", "--pdeathsig", "KILL", "--"]).arg(program);
        command
    }

    /// Runs `ip` with these arguments, separated by spaces.
    pub(crate) fn ip(&self, arguments: &str) -> Result<()> {
        output(self.command("ip").args(arguments.split(' '))).context(format!("ip {arguments}"))?;
        Ok(())
    }

    /// Sets a value under /proc/sys/net.
    pub(crate) fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{name}");
        self.run(|| fs::write(&path, value)).with_context(|| format!("cannot write {path}"))
    }
}

/// A host for servers and a host for their peers.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) server: Namespace,
    pub(crate) peer: Namespace,
}

impl Lab {
    /// Creates two hosts that are linked directly. Each is the other's route to all networks, so
    /// replies to forged sources arrive at the other host.
    pub(crate) fn new() -> Result<Self> {
        let lab = Self { server: Namespace::new()?, peer: Namespace::new()? };
        link(&lab.server, &lab.peer)?;
        lab.set_up()?;
        Ok(lab)
    }

    /// Creates two hosts that are linked through a third one, which does not forward by itself.
    /// Its interfaces are eth0 to the server and eth1 to the peer.
    pub(crate) fn with_middle() -> Result<(Self, Namespace)> {
        let (lab, middle) = (Self { server: Namespace::new()?, peer: Namespace::new()? }, Namespace::new()?);
        link(&lab.peer, &middle)?;
        middle.ip("link set eth0 name eth1")?;
        link(&lab.server, &middle)?;
        for interface in ["eth0", "eth1"] {
            // The middle has no stack of its own on these links.
            middle.sysctl(&format!("ipv6/conf/{interface}/disable_ipv6"), "1")?;
            middle.ip(&format!("link set {interface} arp off"))?;
            middle.ip(&format!("link set {interface} up"))?;
        }
        lab.set_up()?;
        Ok((lab, middle))
    }

    /// Makes each packet of both hosts a frame of its own. Otherwise the kernel joins several to one
    /// until a device has to send them.
    pub(crate) fn send_single_packets(&self) -> Result<()> {
        let single = format!("link set {LINK} gso_max_segs 1");
        self.server.ip(&single)?;
        self.peer.ip(&single)
    }

    fn set_up(&self) -> Result<()> {
        let hosts = [
            (&self.server, SERVER_MAC, (SERVER, SERVER_V6), PEER_MAC, (PEER, PEER_V6)),
            (&self.peer, PEER_MAC, (PEER, PEER_V6), SERVER_MAC, (SERVER, SERVER_V6)),
        ];
        for (host, mac, (v4, v6), other_mac, (other_v4, other_v6)) in hosts {
            host.sysctl("ipv4/conf/all/rp_filter", "0")?;
            host.sysctl("ipv4/conf/default/rp_filter", "0")?;
            // The hosts must not send packets of their own, which rows would count.
            host.sysctl(&format!("ipv6/conf/{LINK}/router_solicitations"), "0")?;
            host.sysctl("ipv6/conf/all/accept_dad", "0")?;
            host.sysctl(&format!("ipv6/conf/{LINK}/accept_dad"), "0")?;
            host.ip(&format!("link set {LINK} address {}", text(mac)))?;
            host.ip(&format!("addr add {v4}/16 brd + dev {LINK}"))?;
            host.ip(&format!("addr add {v6}/64 dev {LINK} nodad"))?;
            host.ip(&format!("link set {LINK} up"))?;
            for (family, address) in [("-4", IpAddr::from(other_v4)), ("-6", IpAddr::from(other_v6))] {
                let mac = text(other_mac);
                host.ip(&format!("neigh replace {address} lladdr {mac} nud permanent dev {LINK}"))?;
                host.ip(&format!("{family} route add default via {address} dev {LINK}"))?;
            }
        }
        self.peer.ip(&format!("addr add {HONEST}/16 dev {LINK}"))
    }
}

/// Joins two namespaces by a link whose ends are both named eth0.
fn link(one: &Namespace, other: &Namespace) -> Result<()> {
    one.ip(&format!("link add {LINK} type veth peer name {LINK} netns {}", other.path()))
}

fn text(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Returns the address of the attacked server.
pub(crate) fn server_address() -> SocketAddr {
    (SERVER, PORT).into()
}
