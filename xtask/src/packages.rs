//! The Debian packages that a guest is made of: fetched once, unpacked beside what cargo builds, never installed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::kernel::Kernel;
use crate::tell;

/// The modules of TIPC, VSOCK, SCTP, RDS and AF_ALG, of the link between two guests, and of an interface that has a link-local
/// address; each after those that it needs.
///
/// Which of them are modules, and not part of the kernel, is different from kernel to kernel.
const MODULES: [&str; 20] = [
    "lib/crc-ccitt",
    "net/ipv6/ipv6",
    "net/ipv4/udp_tunnel",
    "net/ipv6/ip6_udp_tunnel",
    "net/tipc/tipc",
    "net/vmw_vsock/vsock",
    "net/vmw_vsock/vmw_vsock_virtio_transport_common",
    "net/vmw_vsock/vsock_loopback",
    "crypto/hmac",
    "crypto/crc32c_generic",
    "lib/libcrc32c",
    "net/sctp/sctp",
    "net/rds/rds",
    "crypto/af_alg",
    "crypto/algif_hash",
    "crypto/sha256_generic",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/net/dummy",
];

/// The modules that QEMU's guest needs to see this machine's files.
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

/// The first process of QEMU's guest: makes this machine's files its own, and goes on there.
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

/// The folder of what a kernel needs, fetched if it is not there yet.
pub(crate) fn kernel(kernel: Kernel) -> Result<PathBuf> {
    match kernel {
        Kernel::Uml => once("uml", |folder| {
            fetch(folder, &["user-mode-linux", "busybox-static"], None)?;
            fs::rename(unpacked(folder, "bin/busybox"), folder.join("busybox"))?;
            take_modules(&unpacked(folder, "lib/uml/modules"), &MODULES, &folder.join("modules"))
        }),
        Kernel::Qemu => once("qemu", |folder| {
            let needed =
                ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios", "busybox-static"];
            fetch(folder, &needed, Some("linux-image-amd64"))?;
            fs::rename(unpacked(folder, "bin/busybox"), folder.join("busybox"))?;
            let modules = unpacked(folder, "lib/modules");
            take_modules(&modules, &MODULES, &folder.join("modules"))?;
            pack_initrd(folder, &modules)?;
            take_kernel(folder)?;
            // Most of what was fetched are modules for hardware.
            Ok(fs::remove_dir_all(modules)?)
        }),
    }
}

/// tipc(8): where it is, and where its libraries are if this machine does not have them.
#[derive(Debug)]
pub(crate) struct Tipc {
    pub(crate) program: PathBuf,
    pub(crate) libraries: OsString,
}

/// This machine's tipc(8), or a fetched one.
pub(crate) fn tipc() -> Result<Tipc> {
    let ours = Path::new("/usr/sbin/tipc");
    if ours.exists() {
        return Ok(Tipc { program: ours.to_owned(), libraries: OsString::new() });
    }
    let folder = once("tipc", |folder| fetch(folder, &["iproute2"], None))?;
    Ok(Tipc { program: unpacked(&folder, "sbin/tipc"), libraries: libraries(&folder) })
}

/// Where the libraries are that were fetched with a program.
pub(crate) fn libraries(folder: &Path) -> OsString {
    let places =
        ["root/usr/lib/x86_64-linux-gnu", "root/lib/x86_64-linux-gnu"].map(|place| folder.join(place));
    env::join_paths(places).unwrap_or_default()
}

/// Where a file of a package is: what was in `/` moves to `/usr` from release to release.
fn unpacked(folder: &Path, name: &str) -> PathBuf {
    let root = folder.join("root");
    let usr = root.join("usr").join(name);
    if usr.exists() { usr } else { root.join(name) }
}

/// Makes a folder if it is not there yet. It is there as a whole or not at all, also if others make it meanwhile.
fn once(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    // This program is in `debug/` of cargo's target folder, wherever that is.
    let program = env::current_exe().context("find this program")?;
    let target = program.ancestors().nth(2).context("find the target folder")?;
    let folder = target.join("guest").join(name);
    if folder.exists() {
        return Ok(folder);
    }
    let unfinished = target.join("guest").join(format!(".{name}.{}", process::id()));
    fs::create_dir_all(&unfinished).with_context(|| format!("make {}", unfinished.display()))?;
    let made = make(&unfinished).and_then(|()| match fs::rename(&unfinished, &folder) {
        // Somebody else was faster.
        Err(_) if folder.exists() => Ok(fs::remove_dir_all(&unfinished)?),
        renamed => Ok(renamed?),
    });
    if made.is_err() {
        // The error that is told is the first one.
        let _ = fs::remove_dir_all(&unfinished);
    }
    made.with_context(|| format!("fetch {name}")).map(|()| folder)
}

/// Unpacks packages into `root/`, with what they need and this machine lacks; and, alone, the one that the package
/// `newest` depends on.
fn fetch(folder: &Path, needed: &[&str], newest: Option<&str>) -> Result<()> {
    tell(&format!("fetching {}", needed.iter().copied().chain(newest).collect::<Vec<_>>().join(", ")));
    let debs = folder.join("debs");
    fs::create_dir(&debs)?;
    // The lists of packages may be absent or out of date; new ones are ours alone.
    let system = Apt { options: Vec::new() };
    system.download(needed, newest, &debs).or_else(|_| {
        let lists = folder.join("lists");
        Apt::update(&lists)?.download(needed, newest, &debs)?;
        anyhow::Ok(fs::remove_dir_all(lists)?)
    })?;
    for deb in fs::read_dir(&debs)? {
        let deb = deb?.path();
        if deb.extension() == Some(OsStr::new("deb")) {
            output(Command::new("dpkg").arg("-x").arg(&deb).arg(folder.join("root")))?;
        }
    }
    Ok(fs::remove_dir_all(debs)?)
}

/// APT, with this machine's lists of packages or our own. Nothing here needs a privilege.
struct Apt {
    options: Vec<OsString>,
}

impl Apt {
    /// Fetches the lists of packages into a folder.
    fn update(folder: &Path) -> Result<Self> {
        let mut options = Vec::new();
        for (name, place) in [("Dir::State::Lists", "state"), ("Dir::Cache", "cache")] {
            fs::create_dir_all(folder.join(place).join("partial"))?;
            let mut option = OsString::from(format!("{name}="));
            option.push(folder.join(place));
            options.extend(["-o".into(), option]);
        }
        let apt = Self { options };
        output(apt.command("apt-get").arg("update"))?;
        Ok(apt)
    }

    fn download(&self, needed: &[&str], newest: Option<&str>, folder: &Path) -> Result<()> {
        let mut install = self.command("apt-get");
        let plan = output(install.args(["install", "--simulate", "--no-install-recommends"]).args(needed))?;
        let mut names: Vec<&str> = needed.to_vec();
        names.extend(lacking(&plan));
        let depends = match newest {
            Some(name) => output(self.command("apt-cache").arg("depends").arg(name))?,
            None => String::new(),
        };
        names.extend(depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).take(1));
        names.sort_unstable();
        names.dedup();
        output(self.command("apt-get").arg("download").args(names).current_dir(folder)).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // APT would give up root's rights, and then could not write into a folder of root's.
        command.args(["-q", "-o", "APT::Sandbox::User=root"]).args(&self.options).env("LC_ALL", "C");
        command
    }
}

/// The packages that `apt-get install --simulate` would install.
fn lacking(plan: &str) -> impl Iterator<Item = &str> {
    plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
}

/// Copies the modules that a kernel has out of `versions`, numbered in the order in which they are to be loaded.
fn take_modules(versions: &Path, names: &[&str], to: &Path) -> Result<()> {
    let version = fs::read_dir(versions)?.next().context("there are no modules")??;
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

/// Makes the file system that QEMU's guest begins with.
fn pack_initrd(folder: &Path, modules: &Path) -> Result<()> {
    let initrd = folder.join("initrd.d");
    take_modules(modules, &FILE_MODULES, &initrd.join("modules"))?;
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

/// Copies the kernel, unpacked if that can be done here: the guest would need two seconds for it.
fn take_kernel(folder: &Path) -> Result<()> {
    let boot = folder.join("root/boot");
    let names = fs::read_dir(&boot)?.filter_map(|entry| Some(entry.ok()?.file_name()));
    let name = names
        .into_iter()
        .find(|name| name.to_string_lossy().starts_with("vmlinuz"))
        .context("there is no kernel")?;
    let image = fs::read(boot.join(name))?;
    let kernel = folder.join("kernel");
    let unpacked = packed_kernel(&image).is_some_and(|packed| unxz(packed, &kernel).is_ok());
    if !unpacked {
        fs::write(kernel, image)?;
    }
    Ok(())
}

/// The kernel in an image, packed as it is: Documentation/arch/x86/boot.rst in Linux.
fn packed_kernel(image: &[u8]) -> Option<&[u8]> {
    let number = |at: usize| Some(u32::from_le_bytes(*image.get(at..)?.first_chunk()?) as usize);
    let setup_sectors = usize::from(*image.get(0x1f1)?);
    let start = (setup_sectors + 1) * 512 + number(0x248)?;
    // The last four bytes are the length of what is packed.
    let len = number(0x24c)?.checked_sub(4)?;
    image.get(start..)?.get(..len)
}

fn unxz(packed: &[u8], to: &Path) -> Result<()> {
    let mut xz = Command::new("xz")
        .arg("-dc")
        .stdin(Stdio::piped())
        .stdout(File::create(to)?)
        .stderr(Stdio::null())
        .spawn()?;
    xz.stdin.take().context("xz has no input")?.write_all(packed)?;
    ensure!(xz.wait()?.success(), "xz cannot unpack it");
    Ok(())
}

/// Runs a command that must succeed, and returns what it prints if that is not redirected.
fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_owned();
    let program = program.display();
    let output = command.output().with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{program}: {}: {}", output.status, why.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_what_would_be_installed() {
        let plan = "NOTE: only a simulation\nRemv b [2]\nInst a (1 Debian:12 [amd64])\nInst lib+c [0] (1)\nConf a (1)\n";
        assert_eq!(lacking(plan).collect::<Vec<_>>(), ["a", "lib+c"]);
    }

    #[test]
    fn the_packed_kernel_is_where_the_header_says() {
        let mut image = vec![0; 2048];
        image[0x1f1] = 1;
        image[0x248..0x24c].copy_from_slice(&10_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&7_u32.to_le_bytes());
        image[1034..1041].copy_from_slice(b"xyz\x03\0\0\0");
        assert_eq!(packed_kernel(&image), Some(&b"xyz"[..]));
        assert_eq!(packed_kernel(&image[..1036]), None);
        assert_eq!(packed_kernel(b"short"), None);
    }
}
