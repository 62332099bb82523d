"""Sends a UDP datagram over IPv4 with a forged source address: FROM TO MESSAGE."""

import signal
import socket
import struct
import sys

signal.alarm(30)
(source, source_port), (target, target_port) = (address.rsplit(":", 1) for address in sys.argv[1:3])
message = sys.argv[3].encode()
# Over IPv4 a checksum of zero says that there is none; the IP header's own the kernel fills in.
udp = struct.pack("!HHHH", int(source_port), int(target_port), 8 + len(message), 0) + message
ip = struct.pack(
    "!BBHHHBBH4s4s",
    0x45, 0, 20 + len(udp), 0, 0, 64, socket.IPPROTO_UDP, 0, socket.inet_aton(source), socket.inet_aton(target),
)
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as forger:
    forger.sendto(ip + udp, (target, 0))
