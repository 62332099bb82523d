//! The commands that boot a guest: User-Mode Linux or QEMU, with its consoles, files and Ethernet
//! device.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::machine::{Kernel, Machine};
use crate::packages;

/// Returns the guest's names of the consoles that are descriptors 4 and 5 of this program.
pub(crate) fn consoles(kernel: Kernel) -> [&'static str; 2] {
    match kernel {
        Kernel::Uml => ["/dev/tty1", "/dev/tty2"],
        Kernel::Qemu => ["/dev/ttyS1", "/dev/ttyS2"],
    }
}

/// Returns the guest's name of the Ethernet device whose other end is descriptor 0 of this program.
pub(crate) fn ethernet_device(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::Uml => "vec0",
        Kernel::Qemu => "eth0",
    }
}

/// Returns the command that runs a kernel until the guest ends or the time limit is reached.
///
/// The guest's log is appended to `log` in `folder`, and its consoles are standard output and
/// error. With `mac`, standard input is its Ethernet device.
pub(crate) fn command(
    kernel: Kernel,
    fetched: &Path,
    folder: &Path,
    machine: Machine,
    mac: Option<&str>,
) -> Command {
    // The output of the kernel as a program goes to the log too, apart from that of the job.
    // Descriptors are duplicated, since UML would make the caller's non-blocking.
    const DESCRIPTORS: &str = r#"ulimit -c 0; exec 3>>"$0" 4>&1 5>&2 >&3 2>&3 && exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", DESCRIPTORS]).arg(folder.join("log"));
    // The caller's environment is for the job alone: the kernel and the shell that starts it would
    // act on some variables.
    command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
    // The guest ends with this program.
    command.args(["setpriv", "--pdeathsig", "TERM"]);
    command.args(["timeout", "--foreground", "--kill-after=3", &machine.timeout.to_string()]);
    match kernel {
        Kernel::Uml => uml(&mut command, fetched, folder, machine, mac),
        Kernel::Qemu => qemu(&mut command, fetched, folder, machine, mac),
    }
    command
}

fn uml(command: &mut Command, fetched: &Path, folder: &Path, machine: Machine, mac: Option<&str>) {
    // The guest's memory is a file that must be executable. /dev/shm may be small or noexec; the
    // target folder is neither, since cargo builds and runs programs there.
    command.env("TMPDIR", fetched);
    command.arg(fetched.join("root/usr/bin/linux.uml"));
    command.arg(format!("mem={}M", machine.memory));
    command.args(["rootfstype=hostfs", "rootflags=/", "ro", "quiet", "console=ttyS0"]);
    command.args(["ssl=null", "ssl0=null,fd:3", "con=null", "con1=null,fd:4", "con2=null,fd:5"]);
    command.arg("umid=guest").arg(join("uml_dir=", folder, ""));
    command.arg(join("init=\"", &folder.join("init"), "\""));
    if let Some(mac) = mac {
        command.arg(format!("vec0:transport=fd,fd=0,vec=0,mac={mac}"));
    }
}

fn qemu(command: &mut Command, fetched: &Path, folder: &Path, machine: Machine, mac: Option<&str>) {
    let share = fetched.join("root/usr/share");
    let mut libraries = OsString::from("LD_LIBRARY_PATH=");
    libraries.push(packages::libraries(fetched));
    command.arg("env").arg(libraries);
    command.arg(fetched.join("root/usr/bin/qemu-system-x86_64"));
    command.arg("-L").arg(share.join("qemu")).arg("-L").arg(share.join("seabios"));
    // KVM may be present and still unfit for this kernel, and then the guest would hang instead of
    // failing.
    command.args(["-accel", "tcg", "-M", "q35", "-cpu", "max", "-m", &machine.memory.to_string()]);
    command.args(["-nodefaults", "-no-reboot", "-display", "none"]);
    for descriptor in ["3", "4", "5"] {
        command.arg("-chardev").arg(format!("file,id=fd{descriptor},path=/dev/fd/{descriptor},append=on"));
        command.arg("-serial").arg(format!("chardev:fd{descriptor}"));
    }
    command.args(["-fsdev", "local,id=host,path=/,readonly=on,security_model=none,multidevs=remap"]);
    command.args(["-device", "virtio-9p-pci,fsdev=host,mount_tag=host"]);
    if let Some(mac) = mac {
        command.args(["-netdev", "socket,id=link,fd=0"]);
        command.arg("-device").arg(format!("virtio-net-pci,netdev=link,romfile=,mac={mac}"));
    }
    command.arg("-kernel").arg(fetched.join("kernel")).arg("-initrd").arg(fetched.join("initrd"));
    let append = join("console=ttyS0 quiet panic=-1 guest_init=\"", &folder.join("init"), "\"");
    command.arg("-append").arg(append);
}

fn join(before: &str, path: &Path, after: &str) -> OsString {
    let mut whole = OsString::from(before);
    whole.push(path);
    whole.push(after);
    whole
}
