//! The choices that a user has about a guest: how its kernel is run, its memory, and its time.

use std::fs;

use clap::ValueEnum;

/// The machine that a guest is.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Machine {
    /// Time limit in seconds for booting and the command together
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) timeout: u32,

    /// Memory of the guest in megabytes
    #[arg(long, value_name = "MB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) memory: u32,

    /// How to run the guest's kernel [default: uml, or qemu if that does not boot]
    #[arg(long, value_enum)]
    pub(crate) kernel: Option<Kernel>,
}

impl Machine {
    /// Returns the kernels to try, the best first.
    pub(crate) fn candidates(self) -> Vec<Kernel> {
        // Before Linux 6.7, User-Mode Linux cannot restore the registers of a CPU with AMX, whose
        // state is larger than its buffer: it panics before its first process runs.
        let has_amx = || fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains(" amx_tile"));
        match self.kernel {
            Some(kernel) => vec![kernel],
            None if has_amx() => vec![Kernel::Qemu],
            None => vec![Kernel::Uml, Kernel::Qemu],
        }
    }
}

/// How a guest's kernel is run. Both come from Debian packages, need no privilege and see this
/// machine's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kernel {
    /// User-Mode Linux: the kernel is a program
    Uml,
    /// QEMU, which translates the instructions of a PC kernel
    Qemu,
}

impl Kernel {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uml => "User-Mode Linux",
            Self::Qemu => "QEMU",
        }
    }
}
