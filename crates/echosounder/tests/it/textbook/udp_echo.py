"""The echo of RFC 862 over UDP: each datagram goes back to its sender unchanged."""

import signal
import socket

signal.alarm(30)
port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
port.bind(("127.0.0.1", 0))
print("%s:%d" % port.getsockname(), flush=True)
while True:
    message, sender = port.recvfrom(65536)
    port.sendto(message, sender)
