//! epoll(7), poll(2) and eventfd(2).
#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::{check, is_missing, length, socket};

pub(crate) fn create() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    match check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }) {
        Err(error) if is_missing(&error) => {
            // SAFETY: the call takes no pointers. The size is ignored but must not be zero.
            own(check(unsafe { libc::epoll_create(1) }).map_err(|_| error)?)
        }
        // SAFETY: the kernel has just created this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd?) }),
    }
}

/// Takes ownership of a descriptor that the kernel has just created without flags, and sets
/// close-on-exec.
fn own(fd: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just created this descriptor for us.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    socket::set_inheritable(fd.as_fd(), false)?;
    Ok(fd)
}

pub(crate) fn control(
    epoll: BorrowedFd<'_>,
    operation: i32,
    fd: BorrowedFd<'_>,
    events: u32,
    token: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: token };
    // SAFETY: the call reads `event`, which outlives it.
    check(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd.as_raw_fd(), &raw mut event) }).map(drop)
}

/// Returns the number of events to ask for. epoll_wait(2) fails with EINVAL above EP_MAX_EVENTS of
/// fs/eventpoll.c.
fn event_max(capacity: usize) -> i32 {
    const MAX: usize = i32::MAX as usize / size_of::<libc::epoll_event>();
    i32::try_from(capacity.min(MAX)).unwrap_or(i32::MAX)
}

/// Fills `events` up to its capacity. The timeout is in milliseconds; -1 means none.
pub(crate) fn wait(
    epoll: BorrowedFd<'_>,
    events: &mut Vec<libc::epoll_event>,
    timeout: i32,
) -> io::Result<()> {
    events.clear();
    let capacity = event_max(events.capacity());
    // SAFETY: the vector has capacity for the number of events passed to the call.
    let count =
        check(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), capacity, timeout) })?;
    // SAFETY: the kernel has written `count` events, which is at most the capacity.
    unsafe { events.set_len(usize::try_from(count).unwrap_or(0)) };
    Ok(())
}

/// Fills `events` like [`wait`], with a timeout in nanoseconds: epoll_pwait2(2), since Linux 5.11.
pub(crate) fn wait_precise(
    epoll: BorrowedFd<'_>,
    events: &mut Vec<libc::epoll_event>,
    timeout: Duration,
) -> io::Result<()> {
    events.clear();
    let capacity = event_max(events.capacity());
    let timeout = libc::timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // Older C libraries have no wrapper for this call. SAFETY: the vector has capacity for the
    // number of events passed to the call, and the time outlives it.
    let count = unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            capacity,
            &raw const timeout,
            ptr::null::<libc::sigset_t>(),
            0_usize,
        )
    };
    let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written `count` events, which is at most the capacity.
    unsafe { events.set_len(count) };
    Ok(())
}

/// A descriptor to wait for with [`poll`](crate::poll()), and its readiness.
///
/// ```
/// use std::time::Duration;
///
/// use echosounder_socket::{Interest, PollFd, Transport, poll};
///
/// let (one, _other) = Transport::UnixStream.pair()?;
/// let mut fds = [PollFd::new(&one, Interest::WRITE)];
/// poll(&mut fds, Some(Duration::ZERO))?;
/// assert!(fds[0].ready().is_writable());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy)]
#[doc(alias = "pollfd")]
#[repr(transparent)]
pub struct PollFd<'fd> {
    record: libc::pollfd,
    lifetime: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> PollFd<'fd> {
    pub(crate) fn from_bits(fd: BorrowedFd<'fd>, events: i16) -> Self {
        let record = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
        Self { record, lifetime: PhantomData }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'fd> {
        // SAFETY: the number is that of a descriptor that is borrowed for this lifetime.
        unsafe { BorrowedFd::borrow_raw(self.record.fd) }
    }

    pub(crate) fn events(&self) -> i16 {
        self.record.events
    }

    pub(crate) fn revents(&self) -> i16 {
        self.record.revents
    }
}

/// Returns the number of ready descriptors.
pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: i32) -> io::Result<usize> {
    let (list, len) = (fds.as_mut_ptr().cast::<libc::pollfd>(), fds.len());
    // SAFETY: the list has the length passed to the call and outlives it. Its elements have the
    // representation of the kernel's structure, of which the kernel writes only the readiness.
    let count = check(unsafe { libc::poll(list, len as libc::nfds_t, timeout) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    match check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }) {
        Err(error) if is_missing(&error) => eventfd_without_flags().ok_or(error),
        // SAFETY: the kernel has just created this descriptor for us.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd?) }),
    }
}

/// The predecessor of eventfd2(2), which newer architectures lack.
#[cfg(target_arch = "x86_64")]
fn eventfd_without_flags() -> Option<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::syscall(libc::SYS_eventfd, 0) };
    let fd = own(libc::c_int::try_from(fd).ok().filter(|fd| 0 <= *fd)?).ok()?;
    socket::set_nonblocking(fd.as_fd(), true).ok()?;
    Some(fd)
}

#[cfg(not(target_arch = "x86_64"))]
fn eventfd_without_flags() -> Option<OwnedFd> {
    None
}

pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` has the length passed to the call and outlives it.
    length(unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

pub(crate) fn read(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `bytes` has the length passed to the call and outlives it.
    length(unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_asks_for_no_more_events_than_the_kernel_takes() {
        assert_eq!(event_max(64), 64);
        let max = libc::c_int::MAX as usize / size_of::<libc::epoll_event>();
        assert_eq!(event_max(usize::MAX), i32::try_from(max).expect("less than the maximum"));
    }
}
