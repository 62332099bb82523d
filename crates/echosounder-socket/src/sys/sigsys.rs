//! The signal SIGSYS, which a seccomp filter raises for a refused system call: SECCOMP_RET_TRAP,
//! seccomp(2).
#![expect(unsafe_code, reason = "system calls")]

use std::ffi::c_void;
use std::io::{self, Write};
use std::mem;
use std::ptr;
use std::sync::OnceLock;

use super::check;

/// The exit status of a process that SIGSYS ends, as shells report it.
const EXIT_STATUS: i32 = 128 + libc::SIGSYS;

/// Returns the name of a system call.
type NameOf = fn(i32) -> Option<&'static str>;

static NAME_OF: OnceLock<NameOf> = OnceLock::new();

/// The fields of `siginfo_t` for SIGSYS: sigaction(2).
#[repr(C)]
struct RefusedCall {
    signal: i32,
    error: i32,
    code: i32,
    address: *const c_void,
    number: i32,
    arch: u32,
}

const _: () = assert!(size_of::<RefusedCall>() <= size_of::<libc::siginfo_t>());

/// Installs a handler that writes the name of the refused call to standard error and ends the
/// process. `name_of` must be safe in a signal handler: signal-safety(7).
pub(crate) fn end_at_refused_call(name_of: NameOf) -> io::Result<()> {
    let _ = NAME_OF.set(name_of);
    // SAFETY: the structure consists of integers, pointers and an optional function, for which zero
    // is valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handle as extern "C" fn(i32, *const RefusedCall, *const c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the action outlives the call, its handler has the type that SA_SIGINFO requires and
    // makes only calls that signal-safety(7) lists, and the pointer for the old action is null.
    check(unsafe { libc::sigaction(libc::SIGSYS, &raw const action, ptr::null_mut()) }).map(drop)
}

extern "C" fn handle(_: i32, info: *const RefusedCall, _: *const c_void) {
    // SAFETY: the kernel passes a pointer to the information about the signal, which begins with
    // these fields.
    let number = unsafe { (*info).number };
    let name = NAME_OF.get().and_then(|name_of| name_of(number)).unwrap_or("unknown");
    let mut text = [0; 128];
    let mut rest = &mut text[..];
    // A text that is too long is cut off.
    let _ = writeln!(rest, "sounder: the sandbox refuses the system call {name} ({number})");
    let len = 128 - rest.len();
    // SAFETY: the text has this length. If the call fails, only the exit status remains.
    unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), len) };
    // SAFETY: the call does not return and runs no code of this process.
    unsafe { libc::_exit(EXIT_STATUS) }
}
