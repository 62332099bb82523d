# The first process of a guest. What stands before this, written by init.rs, sets `busybox`, `modules`, `out`, `err`,
# `link` (and with it `device`, `tipc` and `libraries`), and defines `job`. What is printed here goes to the guest's log.

b() { "$busybox" "$@"; }
tipc() { LD_LIBRARY_PATH=$libraries "$tipc" "$@"; }

prepare() {
    b mount -t proc proc /proc
    b mount -t sysfs sysfs /sys
    # Some kernels do this one by themselves.
    b grep -q ' /dev devtmpfs ' /proc/mounts || b mount -t devtmpfs devtmpfs /dev
    b mkdir -p /dev/pts /dev/shm
    b mount -t devpts devpts /dev/pts
    b mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    b mount -t tmpfs -o mode=0755 tmpfs /run
    b mkdir -m 1777 /run/tmp
    b ln -sf /proc/self/fd /dev/fd
    b ln -sf /proc/self/fd/1 /dev/stdout
    b ln -sf /proc/self/fd/2 /dev/stderr
    for module in "$modules"/*.ko; do
        b insmod "$module" || echo "guest: $module is not loaded"
    done
    b ip link set lo up
    b ip link set dummy0 up || echo "guest: nothing has a link-local address"
    ulimit -n 20000
    ulimit -c 0
}

# The job writes to pipes, and not to the consoles, so that it does not take them for a terminal. (`b cat &` would be
# a shell that runs cat: its number would not be cat's.)
connect() {
    for console in out err; do
        eval "b stty -F \"\$$console\" raw -echo"
        b mkfifo "/run/$console"
    done
    "$busybox" cat /run/out >"$out" &
    out_pid=$!
    "$busybox" cat /run/err >"$err" &
    err_pid=$!
}

join() {
    tipc node set identity "$link"
    b ip link set "$device" up
    tipc bearer enable media eth device "$device"
}

# broadcast-link is up from the beginning.
linked() { tipc link list | b grep -v broadcast | b grep -q ': up'; }

# The types below 64 are the kernel's own.
served() { tipc nametable show | b awk '64 <= $1 { found = 1 } END { exit !found }'; }

await_server() {
    until linked; do b sleep 0.1; done
    echo "guest: linked"
    tries=0
    until served || [ $tries -eq 300 ]; do
        tries=$((tries + 1))
        b sleep 0.1
    done
}

# What the job has left behind would keep the pipes open.
end_the_rest() {
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        case $process in
            1 | "$out_pid" | "$err_pid") ;;
            *) kill -9 "$process" ;;
        esac
    done 2>/dev/null
}

# However this ends, the guest ends with it. Without what the job needs it does not begin.
trap 'b poweroff -f' EXIT
set -e
prepare
connect
set +e
echo "guest: up"
[ -z "$link" ] || join
[ "$link" != client ] || await_server
(job) </dev/null >/run/out 2>/run/err
status=$?
end_the_rest
wait
echo "guest: status $status"
