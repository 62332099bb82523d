"""A UDP echo that first sends, for each message, an ICMP error: the message was too long, or refused."""

import signal
import socket
import struct
import sys

signal.alarm(30)
code = int(sys.argv[1])


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def report(client, server):
    """Sends the client an ICMP error, destination unreachable, with the headers of its datagram."""
    udp = struct.pack("!HHHH", client[1], server[1], 8, 0)
    addresses = [socket.inet_aton(address[0]) for address in (client, server)]
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28, 0, 0x4000, 64, socket.IPPROTO_UDP, 0, *addresses)
    head = struct.pack("!BBHHH", 3, code, 0, 0, 1400)
    head = struct.pack("!BBHHH", 3, code, checksum(head + ip + udp), 0, 1400)
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.sendto(head + ip + udp, (client[0], 0))


server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    message, client = server.recvfrom(70000)
    report(client, server.getsockname())
    server.sendto(message, client)
