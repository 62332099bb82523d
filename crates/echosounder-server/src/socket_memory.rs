//! The memory that the kernel may hold for stalled connections: its default, and which connections
//! end when the limit is exceeded.

use std::cmp::Reverse;
use std::fs;
use std::path::Path;
use std::time::Duration;

use echosounder_proto::MonoTime;

/// The time between two checks while connections are stalled. A fast peer fills about 100 MB/s.
const INTERVAL: Duration = Duration::from_millis(100);

/// Maximum number of connections whose memory a check reads. Each takes one system call.
const SAMPLE_MAX: usize = 1024;

/// Maximum number of connections that a check ends, so that the others do not wait long.
const ENDED_MAX: usize = 64;

/// The time without progress after which a client counts as one that does not receive. A client that
/// receives 3 Mbit/s makes progress more often.
const NO_PROGRESS_MIN: Duration = Duration::from_millis(200);

/// The part of the memory limits of the system that stalled connections may have by default.
const PART: u64 = 4;

/// The limit if the system tells none.
const FALLBACK: u64 = 64 * 1024 * 1024;

/// The limit on the memory of one worker's stalled connections.
#[derive(Debug)]
pub(crate) struct SocketMemory {
    max: u64,
    checked: Option<MonoTime>,
    samples: usize,
}

/// The memory that the kernel holds for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holding {
    /// The number of the connection.
    pub(crate) connection: usize,
    /// When its client made progress last: when its stall timer started.
    pub(crate) since: MonoTime,
    /// Bytes in the queues of its socket.
    pub(crate) bytes: u64,
}

impl SocketMemory {
    /// Creates a limit of `max` bytes.
    pub(crate) fn new(max: u64) -> Self {
        Self { max, checked: None, samples: 0 }
    }

    /// Returns when the next check is due, if connections are stalled; `None` means now.
    pub(crate) fn due(&self) -> Option<MonoTime> {
        self.checked.map(|checked| checked + INTERVAL)
    }

    /// Chooses the connections that the next check looks at from the `len` stalled ones. They are
    /// evenly spaced, and others than last time, so that no connection hides behind those that hold
    /// little.
    pub(crate) fn sample<T>(
        &mut self,
        stalled: impl Iterator<Item = T>,
        len: usize,
    ) -> impl Iterator<Item = T> {
        let step = len.div_ceil(SAMPLE_MAX).max(1);
        self.samples = self.samples.wrapping_add(1);
        stalled.skip(self.samples % step).step_by(step)
    }

    /// Returns the connections to end. `sample` is a part of the `stalled` connections, from which
    /// the memory of all is estimated.
    ///
    /// If it exceeds the limit, those end first that hold most of all whose clients do not receive.
    /// Clients that do receive are spared unless it exceeds twice the limit. Then those end first
    /// whose last progress is longest ago.
    pub(crate) fn check(&mut self, now: MonoTime, mut sample: Vec<Holding>, stalled: usize) -> Vec<Holding> {
        self.checked = Some(now);
        let sampled: u64 = sample.iter().map(|holding| holding.bytes).sum();
        let all = u128::from(sampled) * stalled as u128 / sample.len().max(1) as u128;
        let mut all = u64::try_from(all).unwrap_or(u64::MAX);
        if all <= self.max {
            return Vec::new();
        }
        let receives = |holding: &Holding| now < holding.since + NO_PROGRESS_MIN;
        sample.retain(|holding| holding.bytes != 0);
        sample.sort_by_key(|holding| {
            let progress = receives(holding).then_some(holding.since);
            (progress, Reverse(holding.bytes))
        });
        let ended = sample.iter().take(ENDED_MAX).take_while(|holding| {
            let max = if receives(holding) { self.max.saturating_mul(2) } else { self.max };
            let ends = max < all;
            all = all.saturating_sub(holding.bytes);
            ends
        });
        let ended = ended.count();
        sample.truncate(ended);
        sample
    }
}

/// Returns the default limit in bytes: a quarter of the memory from which on the kernel saves TCP
/// memory, or of the memory limit of the control group if that is less. In version 1 of control
/// groups, only a limit of its own concerns the memory of TCP sockets.
pub(crate) fn default_max() -> u64 {
    let read = |path| fs::read_to_string(path).ok();
    // Only the first network namespace has tcp_mem. By default it is a 16th of the memory.
    let tcp = read("/proc/sys/net/ipv4/tcp_mem")
        .and_then(|text| tcp_pressure_pages(&text))
        .map(|pages| pages.saturating_mul(page_size()))
        .or_else(|| read("/proc/meminfo").and_then(|text| memory_total(&text)).map(|total| total / 16));
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    let limits = [
        ("/sys/fs/cgroup", "", "memory.max"),
        ("/sys/fs/cgroup/memory", "memory", "memory.kmem.tcp.limit_in_bytes"),
    ];
    let of_groups = limits.into_iter().filter_map(|(root, controller, file)| {
        lowest_limit(Path::new(root), group_path(&groups, controller)?, file)
    });
    tcp.into_iter().chain(of_groups).min().map_or(FALLBACK, |limit| limit / PART)
}

/// Returns the number of pages from which on the kernel saves TCP memory: the second number of
/// tcp_mem, tcp(7).
fn tcp_pressure_pages(tcp_mem: &str) -> Option<u64> {
    tcp_mem.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the memory of the machine in bytes: MemTotal, proc_meminfo(5).
fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the page size in bytes: AT_PAGESZ of the auxiliary vector, getauxval(3).
fn page_size() -> u64 {
    const AT_PAGESZ: usize = 6;
    const WORD: usize = size_of::<usize>();
    let vector = fs::read("/proc/self/auxv").unwrap_or_default();
    let words: Vec<usize> =
        vector.as_chunks::<WORD>().0.iter().map(|bytes| usize::from_ne_bytes(*bytes)).collect();
    let entry = words.as_chunks::<2>().0.iter().find(|[key, _]| *key == AT_PAGESZ);
    entry.map_or(4096, |[_, size]| *size as u64)
}

/// Returns the path of the process's control group in the hierarchy of a controller: cgroups(7). The
/// hierarchy of version 2 has no name here.
fn group_path<'a>(cgroup: &'a str, controller: &str) -> Option<&'a str> {
    cgroup.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_it = controllers.split(',').any(|name| name == controller);
        path.strip_prefix('/').filter(|_| is_it)
    })
}

/// Returns the lowest limit in a file of a control group and of those above it: memory.max in the
/// kernel's cgroup-v2 document, memory.kmem.tcp.limit_in_bytes in its cgroup-v1 document.
fn lowest_limit(root: &Path, group: &str, file: &str) -> Option<u64> {
    let group = root.join(group);
    let groups = group.ancestors().take_while(|group| group.starts_with(root));
    let limit = |group: &Path| fs::read_to_string(group.join(file)).ok()?.trim().parse().ok();
    groups.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> MonoTime {
        MonoTime::from_origin(Duration::from_millis(millis))
    }

    /// Returns the connections that end. Each has held so many bytes for so many milliseconds.
    fn ended(max: u64, held: &[(u64, u64)], stalled: usize) -> Vec<usize> {
        let holding = |(connection, &(bytes, age))| Holding { connection, since: at(60_000 - age), bytes };
        let sample = held.iter().enumerate().map(holding).collect();
        let ended = SocketMemory::new(max).check(at(60_000), sample, stalled);
        ended.iter().map(|holding| holding.connection).collect()
    }

    fn check(max: u64, bytes: &[u64], stalled: usize) -> Vec<usize> {
        let held: Vec<_> = bytes.iter().map(|&bytes| (bytes, 1000)).collect();
        ended(max, &held, stalled)
    }

    #[test]
    fn clients_that_receive_are_spared_up_to_twice_the_limit() {
        let held = [(500, 199), (10, 200), (900, 0), (60, 45_000)];
        assert_eq!(ended(1470, &held, 4), [0_usize; 0]);
        assert_eq!(ended(1469, &held, 4), [3]);
        assert_eq!(ended(1409, &held, 4), [3, 1]);
        assert_eq!(ended(700, &held, 4), [3, 1]);
        assert_eq!(ended(699, &held, 4), [3, 1, 0]);
        assert_eq!(ended(449, &held, 4), [3, 1, 0, 2]);
    }

    #[test]
    fn successive_samples_reach_every_connection() {
        let mut memory = SocketMemory::new(1);
        for len in [0, 1, SAMPLE_MAX, SAMPLE_MAX + 1, 3 * SAMPLE_MAX + 7] {
            let mut reached = vec![0; len];
            for _ in 0..len.div_ceil(SAMPLE_MAX) {
                let sample: Vec<usize> = memory.sample(0..len, len).collect();
                assert!(sample.len() <= SAMPLE_MAX, "{}", sample.len());
                sample.into_iter().for_each(|connection| reached[connection] += 1);
            }
            assert_eq!(reached, vec![1; len]);
        }
    }

    #[test]
    fn the_connections_that_hold_most_end_until_the_rest_fits() {
        assert_eq!(check(100, &[10, 60, 30], 3), [0_usize; 0]);
        assert_eq!(check(99, &[10, 60, 30], 3), [1]);
        assert_eq!(check(39, &[10, 60, 30], 3), [1, 2]);
        assert_eq!(check(0, &[10, 60, 0, 30], 4), [1, 3, 0]);
        assert_eq!(check(0, &[], 0), [0_usize; 0]);
    }

    #[test]
    fn of_equal_connections_those_end_that_have_stalled_longest() {
        assert_eq!(check(20, &[10, 10, 10, 10], 4), [0, 1]);
    }

    #[test]
    fn the_memory_of_all_is_estimated_from_the_sample() {
        assert_eq!(check(100, &[20, 30], 4), [0_usize; 0]);
        assert_eq!(check(100, &[20, 30], 5), [1]);
    }

    #[test]
    fn a_check_ends_a_bounded_number() {
        assert_eq!(check(1, &[u64::MAX / 2000; 1000], usize::MAX).len(), ENDED_MAX);
    }

    #[test]
    fn checks_are_due_ten_times_a_second() {
        let mut memory = SocketMemory::new(1);
        assert_eq!(memory.due(), None);
        memory.check(at(0), Vec::new(), 0);
        assert_eq!(memory.due(), Some(at(0) + INTERVAL));
    }

    #[test]
    fn reads_the_limits_of_the_system() {
        assert_eq!(tcp_pressure_pages("287901\t383869\t575802\n"), Some(383_869));
        assert_eq!(tcp_pressure_pages(""), None);
        assert_eq!(memory_total("MemTotal:       8000 kB\nMemFree: 1 kB\n"), Some(8_192_000));
        let groups = "5:cpu,memory:/a\n1:name=systemd:/d\n0::/b/c\n";
        assert_eq!(
            ["", "memory", "pids"].map(|name| group_path(groups, name)),
            [Some("b/c"), Some("a"), None]
        );
        assert_eq!(group_path("4:memory:/a\n", ""), None);
        assert!(page_size().is_power_of_two() && 4096 <= page_size());
        assert!(0 < default_max());
    }

    #[test]
    fn the_lowest_limit_of_the_groups_above_counts() {
        let root = std::env::temp_dir().join(format!("echosounder-groups-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("memory.max"), "9000\n").unwrap();
        fs::write(root.join("a/memory.max"), "7000\n").unwrap();
        fs::write(root.join("a/b/memory.max"), "max\n").unwrap();
        let limits = ["a/b", "a", "", "absent"].map(|group| lowest_limit(&root, group, "memory.max"));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(limits, [Some(7000), Some(7000), Some(9000), Some(9000)]);
        assert_eq!(lowest_limit(&root, "a", "memory.max"), None);
    }
}
