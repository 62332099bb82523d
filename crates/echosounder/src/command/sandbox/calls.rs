//! The seccomp part of the sandbox: the system calls that a server makes after its start.
//!
//! The lists name the calls of the kernel, some of which only one C library uses. Calls without
//! conditions cost least since Linux 5.11, which remembers that a filter allows them and does not
//! run it. A call on the path of a message must therefore have none.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::{io, process};

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// System calls, each with rules of which one must hold. A call without rules has no conditions.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

type Condition = Result<SeccompCondition, seccompiler::BackendError>;

/// What happens to a call that is not on the lists: it fails with EPERM. In a build with debug
/// assertions it is named on standard error and ends the process, so that tests find what is
/// missing here.
pub(super) const REFUSAL: SeccompAction = if cfg!(debug_assertions) {
    SeccompAction::Trap
} else {
    SeccompAction::Errno(libc::EPERM.cast_unsigned())
};

/// Calls that are allowed with all arguments.
const ALLOWED: &[i64] = &[
    // Messages.
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Connections.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    // Waiting.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_futex,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_sched_yield,
    libc::SYS_restart_syscall,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_getrandom,
    // Threads, and the end of the process.
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The paths of UNIX sockets. Landlock decides which files may be removed.
    libc::SYS_statx,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_readlinkat,
    libc::SYS_unlinkat,
    libc::SYS_getcwd,
    // Other filters refuse these with errors that the C library expects.
    libc::SYS_clone3,
    libc::SYS_openat,
];

/// The number of a call that a debugger replaces, as strace --inject does: -1. The kernel runs no call
/// for it.
const REPLACED: i64 = 0xffff_ffff;

/// The predecessors of these calls, which newer architectures lack.
#[cfg(target_arch = "x86_64")]
const ALLOWED_PREDECESSORS: &[i64] = &[
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_eventfd,
    libc::SYS_signalfd,
    libc::SYS_time,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_open,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_PREDECESSORS: &[i64] = &[];

/// The requests of ioctl(2) that sockets and terminals get: FIONBIO, FIONREAD, SIOCOUTQ, SIOCATMARK,
/// and for isatty(3) TCGETS, TCGETS2 and TIOCGWINSZ. They have the same numbers on x86-64, aarch64
/// and riscv64; their type differs between C libraries.
const REQUESTS: [u64; 7] = [0x5421, 0x541b, 0x5411, 0x8905, 0x5401, 0x802c_542a, 0x5413];

/// The commands of fcntl(2): duplicates of descriptors, and their flags.
const COMMANDS: [libc::c_int; 5] =
    [libc::F_DUPFD_CLOEXEC, libc::F_GETFD, libc::F_SETFD, libc::F_GETFL, libc::F_SETFL];

/// The settings of prctl(2) that threads make: name, timer slack, and names of memory for debuggers.
const SETTINGS: [libc::c_int; 4] =
    [libc::PR_SET_NAME, libc::PR_SET_TIMERSLACK, libc::PR_GET_TIMERSLACK, libc::PR_SET_VMA];

/// The flags of clone(2) that create namespaces.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// The calls that read the state of the system clock, and set it with CAP_SYS_TIME.
const CLOCK_STATE: [i64; 2] = [libc::SYS_adjtimex, libc::SYS_clock_adjtime];

/// Refuses to this thread, and to those that it creates later, every call that is not on the lists.
/// Without `reads_clock`, a call that reads the state of the clock fails.
pub(super) fn restrict(refusal: SeccompAction, reads_clock: bool) -> io::Result<()> {
    // Of the results of several filters, the strictest counts.
    let mut filters = vec![
        // The C library then calls clone(2), whose flags a filter can see.
        compile(clone3(), SeccompAction::Allow, fails_with(libc::ENOSYS))?,
        // The C library opens files in /proc and /sys when it manages memory, and works without.
        compile(opened_files()?, SeccompAction::Allow, fails_with(libc::EACCES))?,
        compile(allowed()?, refusal, SeccompAction::Allow)?,
    ];
    if !reads_clock {
        // This filter is added first, because the last one refuses the call that adds filters.
        filters.insert(0, compile(clock_state(), SeccompAction::Allow, fails_with(libc::EPERM))?);
    }
    #[cfg(debug_assertions)]
    echosounder_socket::internal::end_at_refused_call(name)?;
    filters.iter().try_for_each(|filter| apply_filter(filter).map_err(cause))
}

/// Compiles a filter: the action `listed` for the calls in `rules`, and `other` for all others.
fn compile(rules: Rules, other: SeccompAction, listed: SeccompAction) -> io::Result<BpfProgram> {
    let arch = ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, other, listed, arch).map_err(io::Error::other)?;
    filter.try_into().map_err(io::Error::other)
}

/// Returns the allowed calls.
fn allowed() -> io::Result<Rules> {
    let own = u64::from(process::id());
    let unconditional = ALLOWED.iter().chain(ALLOWED_PREDECESSORS).chain(&CLOCK_STATE).chain(&[REPLACED]);
    let mut rules: Rules = unconditional.map(|&call| (call, Vec::new())).collect();
    let conditions = [
        // No memory becomes executable.
        (libc::SYS_mmap, vec![masked(2, libc::PROT_EXEC, 0)]),
        (libc::SYS_mprotect, vec![masked(2, libc::PROT_EXEC, 0)]),
        // New threads, but no new processes and namespaces.
        (libc::SYS_clone, vec![masked(0, libc::CLONE_THREAD | NAMESPACES, libc::CLONE_THREAD)]),
        // Signals to this process only.
        (libc::SYS_kill, vec![equal(0, own)]),
        (libc::SYS_tgkill, vec![equal(0, own)]),
        (libc::SYS_tkill, vec![equal(1, flags(libc::SIGABRT))]),
        // Limits can be read, but not set.
        (libc::SYS_prlimit64, vec![equal(2, 0)]),
        (libc::SYS_ioctl, REQUESTS.map(|request| equal(1, request)).into()),
        (libc::SYS_fcntl, COMMANDS.map(|command| equal(1, flags(command))).into()),
        (libc::SYS_prctl, SETTINGS.map(|setting| equal(0, flags(setting))).into()),
    ];
    for (call, conditions) in conditions {
        rules.insert(call, any_of(conditions)?);
    }
    Ok(rules)
}

/// Returns the newer call that starts a thread or a process. A filter cannot see its flags.
fn clone3() -> Rules {
    Rules::from([(libc::SYS_clone3, Vec::new())])
}

fn clock_state() -> Rules {
    CLOCK_STATE.map(|call| (call, Vec::new())).into()
}

/// Returns the calls that open a file, except for those that make a reference to it (O_PATH): the
/// server needs references to the sockets of UNIX datagram clients.
fn opened_files() -> io::Result<Rules> {
    let with_flags = |index| any_of(vec![masked(index, libc::O_PATH, 0)]);
    Ok(Rules::from([
        (libc::SYS_openat, with_flags(2)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, with_flags(1)?),
    ]))
}

fn fails_with(errno: libc::c_int) -> SeccompAction {
    SeccompAction::Errno(errno.cast_unsigned())
}

/// Returns rules of which one must hold.
fn any_of(conditions: Vec<Condition>) -> io::Result<Vec<SeccompRule>> {
    let rules: Result<_, _> =
        conditions.into_iter().map(|condition| SeccompRule::new(vec![condition?])).collect();
    rules.map_err(io::Error::other)
}

/// Returns the condition that an argument has this value.
fn equal(index: u8, value: u64) -> Condition {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

/// Returns the condition that an argument has these bits of a mask.
fn masked(index: u8, mask: libc::c_int, bits: libc::c_int) -> Condition {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(flags(mask)), flags(bits))
}

fn flags(flags: libc::c_int) -> u64 {
    u64::from(flags.cast_unsigned())
}

/// Returns the system's error if the system refused a filter.
fn cause(error: seccompiler::Error) -> io::Error {
    match error {
        seccompiler::Error::Prctl(cause) | seccompiler::Error::Seccomp(cause) => cause,
        error => io::Error::other(error),
    }
}

/// Returns the name of a system call. It only searches in a constant table.
#[cfg(debug_assertions)]
fn name(call: i32) -> Option<&'static str> {
    let call = usize::try_from(call).ok()?;
    syscalls::Sysno::new(call).map(|call| call.name())
}
