"""The textbook's UDP server: each datagram goes back to its sender, behind the time."""

import signal
import socket
import sys
import time

signal.alarm(30)
host = sys.argv[1]
port = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
port.bind((host, 0))
print(port.getsockname()[1], flush=True)
while True:
    message, sender = port.recvfrom(1024)
    port.sendto(b"[%s] %s" % (time.ctime().encode(), message), sender)
