"""Forges, again and again until it is killed, ICMP errors about UDP datagrams from any of the ephemeral ports to HOST:PORT:
fragmentation needed for an MTU (the second argument, 1400 without one), port unreachable, host unreachable. Prints "forging"
after the first error of each kind."""

import signal
import socket
import struct
import sys
import time

signal.alarm(120)
host, port = sys.argv[1].rsplit(":", 1)
mtu = int(sys.argv[2]) if sys.argv[2:] else 1400
with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
    first, last = map(int, file.read().split())


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def error(code, source_port):
    address = socket.inet_aton(host)
    udp = struct.pack("!HHHH", source_port, int(port), 72, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 92, 0, 0, 64, socket.IPPROTO_UDP, 0, address, address)
    body = struct.pack("!BBHHH", 3, code, 0, 0, mtu if code == 4 else 0) + ip + udp
    return body[:2] + struct.pack("!H", checksum(body)) + body[4:]


with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as forger:
    reported = False
    while True:
        for code in (4, 3, 1):
            for source_port in range(first, last + 1):
                forger.sendto(error(code, source_port), (host, 0))
        if not reported:
            print("forging", flush=True)
            reported = True
        time.sleep(0.002)
