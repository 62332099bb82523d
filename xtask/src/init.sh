# The first process of a guest. init.rs writes the lines before this one: they set `busybox`,
# `modules`, `out`, `err`, `link` (and with it `device`, `tipc` and `libraries`) and define `job`.
# The output of this script goes to the guest's log.

b() { "$busybox" "$@"; }
tipc() { LD_LIBRARY_PATH=$libraries "$tipc" "$@"; }

prepare() {
    b mount -t proc proc /proc
    b mount -t sysfs sysfs /sys
    # Some kernels mount this one by themselves.
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
    b ip link set dummy0 up || echo "guest: no interface has a link-local address"
    ulimit -n 20000
    ulimit -c 0
}

# The job writes to pipes, so that its output is not a terminal. `b cat &` would start a shell that
# runs cat, and `$!` would be the number of that shell.
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

# The link named broadcast-link is always up.
linked() { tipc link list | b grep -v broadcast | b grep -q ': up'; }

# The kernel itself publishes services of the types below 64.
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

# Processes that the job has left behind would keep the pipes open.
kill_rest() {
    for process in /proc/[0-9]*; do
        process=${process#/proc/}
        case $process in
            1 | "$out_pid" | "$err_pid") ;;
            *) kill -9 "$process" ;;
        esac
    done 2>/dev/null
}

# The guest powers off when this script ends, for any reason. If the preparation fails, the job
# does not start.
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
kill_rest
wait
echo "guest: status $status"
