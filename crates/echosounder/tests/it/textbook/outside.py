"""Sends UDP datagrams to `sounder serve` in a new network namespace, as if they came from another host.

Arguments: the command `sounder serve ...`, whose endpoints are at 192.0.2.1 or [2001:db8::1], port 7777 first.
Input: lines FROM PORT TO PORT MESSAGE, where the message is in hexadecimal. Any source address can be given.
Output: a line PORT LENGTH for each reply that left, by the port that it was sent to, and the server's summary.
"""

import json
import signal
import socket
import struct
import subprocess
import sys

signal.alarm(120)
PLACEHOLDER = b"[0000000000000000000 0000000000000000000] "
LAST_PORT = 65000


def ip(command):
    subprocess.run(["ip"] + command.split(), check=True)


def checksum(data):
    total = sum(struct.unpack("!%dH" % ((len(data) + 1) // 2), data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def packet(source, source_port, target, target_port, message):
    length = 8 + len(message)
    udp = struct.pack("!HHH", source_port, target_port, length)
    if ":" in source:
        addresses = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
        pseudo = addresses + struct.pack("!II", length, socket.IPPROTO_UDP)
        udp += struct.pack("!H", checksum(pseudo + udp + b"\0\0" + message)) + message
        return 0x86DD, struct.pack("!IHBB", 6 << 28, length, socket.IPPROTO_UDP, 64) + addresses + udp
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, 0, 0, 64, socket.IPPROTO_UDP)
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    head += struct.pack("!H", checksum(head + b"\0\0" + addresses)) + addresses
    # Over IPv4 a checksum of zero says that there is none.
    return 0x0800, head + udp + b"\0\0" + message


def destination(frame):
    """Returns the port that a UDP datagram was sent to, and its length; None for other frames."""
    kind, rest = struct.unpack("!H", frame[12:14])[0], frame[14:]
    if kind == 0x0800 and rest[9] == socket.IPPROTO_UDP:
        udp = rest[20:]
    elif kind == 0x86DD and rest[6] == socket.IPPROTO_UDP:
        udp = rest[40:]
    else:
        return None
    _, port, length = struct.unpack("!HHH", udp[:6])
    return port, length - 8


INSIDE, OUTSIDE = "02:00:00:00:00:01", "02:00:00:00:00:02"
ip("link add inside mtu 65535 address %s type veth peer name outside mtu 65535 address %s" % (INSIDE, OUTSIDE))
ip("addr add 192.0.2.1/24 dev inside")
ip("addr add 2001:db8::1/64 dev inside nodad")
ip("link set outside up")
ip("link set inside up")
for router, anywhere in (("192.0.2.254", "0.0.0.0/0"), ("2001:db8::fe", "::/0")):
    ip("neigh add %s lladdr %s dev inside nud permanent" % (router, OUTSIDE))
    ip("route add %s via %s dev inside" % (anywhere, router))
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind(("outside", 0))
wire.settimeout(60)
header = bytes.fromhex(INSIDE.replace(":", "") + OUTSIDE.replace(":", ""))


def inject(*datagram):
    kind, data = packet(*datagram)
    wire.send(header + struct.pack("!H", kind) + data)


def replies_until(last):
    """Yields the port and length of each reply up to the one to the port `last`."""
    while True:
        frame, address = wire.recvfrom(1 << 17)
        reply = destination(frame) if address[2] != socket.PACKET_OUTGOING else None
        if reply and reply[0] == last:
            return
        if reply:
            yield reply


server = subprocess.Popen(sys.argv[1:], stderr=subprocess.PIPE, text=True)
endpoints = [argument for argument in sys.argv if argument.startswith("udp://")]
for _ in endpoints:
    assert json.loads(server.stderr.readline())["event"] == "listening"
for number, line in enumerate(sys.stdin):
    source, source_port, target, target_port, *message = line.split()
    inject(source, int(source_port), target, int(target_port), bytes.fromhex("".join(message)))
    if number % 16 == 15:
        # No receive buffer overflows if the server has replied to these before the next are sent.
        inject("203.0.113.9", LAST_PORT, "192.0.2.1", 7777, PLACEHOLDER)
        for port, length in replies_until(LAST_PORT):
            print(port, length)
for _ in range(2):
    for endpoint in endpoints:
        is_ipv6, port = "[" in endpoint, int(endpoint.rsplit(":", 1)[1])
        source, target = ("2001:db8:9::9", "2001:db8::1") if is_ipv6 else ("203.0.113.9", "192.0.2.1")
        inject(source, LAST_PORT, target, port, PLACEHOLDER)
        for port, length in replies_until(LAST_PORT):
            print(port, length)
server.send_signal(signal.SIGINT)
print(server.stderr.read().strip().splitlines()[-1])
