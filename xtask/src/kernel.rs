//! The two ways to run a guest's kernel, and how each is started.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;

use crate::args::Machine;
use crate::packages;

/// How a guest's kernel is run. Both come from Debian, need no privilege and see this machine's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// User-Mode Linux: the kernel is a program
    Uml,
    /// QEMU, which translates a PC kernel's instructions
    Qemu,
}

impl Kernel {
    /// The kernels to try, the best first.
    pub(crate) fn candidates(asked: Option<Self>) -> Vec<Self> {
        // Before 6.7 User-Mode Linux cannot restore the registers of a CPU that has AMX, because they are more than it
        // has room for: it panics before its first process runs.
        let has_amx = || fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" amx_tile"));
        match asked {
            Some(kernel) => vec![kernel],
            None if has_amx() => vec![Self::Qemu],
            None => vec![Self::Uml, Self::Qemu],
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uml => "User-Mode Linux",
            Self::Qemu => "QEMU",
        }
    }

    /// What the guest calls the consoles that are descriptors 4 and 5 here.
    pub(crate) fn consoles(self) -> [&'static str; 2] {
        match self {
            Self::Uml => ["/dev/tty1", "/dev/tty2"],
            Self::Qemu => ["/dev/ttyS1", "/dev/ttyS2"],
        }
    }

    /// What the guest calls the Ethernet device whose other side is descriptor 0 here.
    pub(crate) fn device(self) -> &'static str {
        match self {
            Self::Uml => "vec0",
            Self::Qemu => "eth0",
        }
    }

    /// The command that runs the kernel until the guest is over, and no longer than it may take. Its log becomes
    /// `log` in `folder`; the consoles are standard output and error; with `mac`, standard input is the Ethernet.
    pub(crate) fn command(
        self,
        fetched: &Path,
        folder: &Path,
        machine: Machine,
        mac: Option<&str>,
    ) -> Command {
        // What the kernel, as a program, prints goes to the log too, and not among what the job prints. None of the
        // descriptors is our caller's: UML would make it non-blocking.
        const DESCRIPTORS: &str = r#"ulimit -c 0; exec 3>>"$0" 4>&1 5>&2 >&3 2>&3 && exec "$@""#;
        let mut command = Command::new("sh");
        command.args(["-c", DESCRIPTORS]).arg(folder.join("log"));
        // Our caller's environment is the job's alone; a kernel, and the shell that starts it, would act on some of it.
        command.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        // Whoever ends us ends the guest.
        command.args(["setpriv", "--pdeathsig", "TERM"]);
        command.args(["timeout", "--foreground", "--kill-after=3", &machine.timeout.to_string()]);
        match self {
            Self::Uml => uml(&mut command, fetched, folder, machine, mac),
            Self::Qemu => qemu(&mut command, fetched, folder, machine, mac),
        }
        command
    }
}

fn uml(command: &mut Command, fetched: &Path, folder: &Path, machine: Machine, mac: Option<&str>) {
    // The guest's memory is a file that must be executable. /dev/shm may be small or noexec, but who builds here has
    // room and may execute.
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
    // Where KVM is there it may still be unfit for this kernel, and then the guest hangs instead of failing.
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
