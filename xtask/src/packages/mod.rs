//! The Debian packages of a guest's kernel and tools: downloaded once, unpacked in cargo's target
//! folder, never installed.

mod apt;
mod image;

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result};

use crate::command::output;
use crate::machine::Kernel;
use apt::fetch;
use image::copy_kernel;

/// The modules of TIPC, VSOCK, SCTP, RDS, AF_ALG, TLS, CAN and UNIX_DIAG, of the link between two
/// guests, and of an interface with a link-local address, each after its dependencies.
///
/// Some kernels have some of them built in.
const MODULES: [&str; 32] = [
    "lib/crc-ccitt",
    "net/ipv6/ipv6",
    "net/ipv4/udp_tunnel",
    "net/ipv6/ip6_udp_tunnel",
    "net/tipc/tipc",
    "net/vmw_vsock/vsock",
    "net/vmw_vsock/vmw_vsock_virtio_transport_common",
    "net/vmw_vsock/vsock_loopback",
    "net/unix/unix_diag",
    "crypto/hmac",
    "crypto/crc32c_generic",
    "lib/libcrc32c",
    "net/sctp/sctp",
    "net/rds/rds",
    "crypto/af_alg",
    "crypto/algif_hash",
    "crypto/sha256_generic",
    "lib/crypto/libaes",
    "crypto/aes_generic",
    "crypto/gf128mul",
    "crypto/ghash-generic",
    "crypto/ctr",
    "crypto/gcm",
    "crypto/algif_aead",
    "crypto/algif_rng",
    "net/tls/tls",
    "net/can/can",
    "net/can/can-raw",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/net/dummy",
];

/// The modules that QEMU's guest needs to mount this machine's files, each after its dependencies.
const FILE_MODULES: [&str; 10] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "fs/netfs/netfs",
    "fs/fscache/fscache",
    "net/9p/9pnet",
    "net/9p/9pnet_virtio",
    "fs/9p/9p",
];

/// The first process of QEMU's guest: mounts this machine's files and continues with the init
/// script there.
const INITRD_INIT: &str = r#"#!/busybox sh
trap '/busybox poweroff -f' EXIT
set -e
/busybox mkdir /host
/busybox mount -t devtmpfs devtmpfs /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
for module in /modules/*.ko; do
    /busybox insmod "$module"
done
/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
exec /busybox switch_root /host "$guest_init"
"#;

/// Returns the folder with a kernel and its tools, after downloading them the first time.
pub(crate) fn kernel(kernel: Kernel) -> Result<PathBuf> {
    match kernel {
        Kernel::Uml => once("uml", |folder| {
            fetch(folder, &["user-mode-linux", "busybox-static"], None)?;
            fs::rename(unpacked(folder, "bin/busybox"), folder.join("busybox"))?;
            copy_modules(&unpacked(folder, "lib/uml/modules"), &MODULES, &folder.join("modules"))
        }),
        Kernel::Qemu => once("qemu", |folder| {
            let needed =
                ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios", "busybox-static"];
            fetch(folder, &needed, Some("linux-image-amd64"))?;
            fs::rename(unpacked(folder, "bin/busybox"), folder.join("busybox"))?;
            let modules = unpacked(folder, "lib/modules");
            copy_modules(&modules, &MODULES, &folder.join("modules"))?;
            pack_initrd(folder, &modules)?;
            copy_kernel(folder)?;
            // Most of the package consists of modules for hardware.
            Ok(fs::remove_dir_all(modules)?)
        }),
    }
}

/// The program tipc(8), with the folders of its libraries if this machine lacks them.
#[derive(Debug)]
pub(crate) struct Tipc {
    pub(crate) program: PathBuf,
    pub(crate) libraries: OsString,
}

/// Returns the installed tipc(8), or a downloaded one.
pub(crate) fn tipc() -> Result<Tipc> {
    let installed = Path::new("/usr/sbin/tipc");
    if installed.exists() {
        return Ok(Tipc { program: installed.to_owned(), libraries: OsString::new() });
    }
    let folder = once("tipc", |folder| fetch(folder, &["iproute2"], None))?;
    Ok(Tipc { program: unpacked(&folder, "sbin/tipc"), libraries: libraries(&folder) })
}

/// Returns the folders of the libraries that were downloaded with a program, as LD_LIBRARY_PATH has
/// them.
pub(crate) fn libraries(folder: &Path) -> OsString {
    let folders =
        ["root/usr/lib/x86_64-linux-gnu", "root/lib/x86_64-linux-gnu"].map(|path| folder.join(path));
    env::join_paths(folders).unwrap_or_default()
}

/// Returns the path of a file of a package. Debian moves files from `/` to `/usr` from release to
/// release.
fn unpacked(folder: &Path, name: &str) -> PathBuf {
    let root = folder.join("root");
    let usr = root.join("usr").join(name);
    if usr.exists() { usr } else { root.join(name) }
}

/// Returns a folder, after filling it the first time. It exists completely or not at all, even if
/// several processes create it.
fn once(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    // This program is in the folder `debug` of cargo's target folder.
    let program = env::current_exe().context("cannot find this program")?;
    let target = program.ancestors().nth(2).context("cannot find the target folder")?;
    let folder = target.join("guest").join(name);
    if folder.exists() {
        return Ok(folder);
    }
    let unfinished = target.join("guest").join(format!(".{name}.{}", process::id()));
    fs::create_dir_all(&unfinished).with_context(|| format!("cannot create {}", unfinished.display()))?;
    let made = make(&unfinished).and_then(|()| match fs::rename(&unfinished, &folder) {
        // Another process was faster.
        Err(_) if folder.exists() => Ok(fs::remove_dir_all(&unfinished)?),
        renamed => Ok(renamed?),
    });
    if made.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&unfinished);
    }
    made.with_context(|| format!("cannot fetch {name}")).map(|()| folder)
}

/// Copies those of the named modules that a kernel has, numbered in the order in which they must be
/// loaded.
fn copy_modules(versions: &Path, names: &[&str], to: &Path) -> Result<()> {
    let version = fs::read_dir(versions)?.next().context("the package has no modules")??;
    fs::create_dir_all(to)?;
    for (index, name) in names.iter().enumerate() {
        let from = version.path().join("kernel").join(name);
        let to = to.join(format!("{index:02}.ko"));
        let packed = from.with_extension("ko.xz");
        if packed.exists() {
            output(Command::new("xz").arg("-dc").stdin(File::open(packed)?).stdout(File::create(to)?))?;
        } else if from.with_extension("ko").exists() {
            fs::copy(from.with_extension("ko"), to)?;
        }
    }
    Ok(())
}

/// Creates the first file system of QEMU's guest.
fn pack_initrd(folder: &Path, modules: &Path) -> Result<()> {
    let initrd = folder.join("initrd.d");
    copy_modules(modules, &FILE_MODULES, &initrd.join("modules"))?;
    fs::copy(folder.join("busybox"), initrd.join("busybox"))?;
    let init = initrd.join("init");
    fs::write(&init, INITRD_INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let pack = r#""$0" find . | "$0" cpio -o -H newc"#;
    let mut command = Command::new("sh");
    command.args(["-c", pack]).arg(folder.join("busybox")).current_dir(&initrd);
    output(command.stdout(File::create(folder.join("initrd"))?))?;
    Ok(fs::remove_dir_all(initrd)?)
}
