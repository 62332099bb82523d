"""A client over SOCK_SEQPACKET: each line is a message, and each message gets a reply. The address is in hexadecimal."""

import signal
import socket
import sys

signal.alarm(30)
server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
server.connect(bytes.fromhex(sys.argv[1]))
for line in sys.stdin.buffer:
    server.send(line.rstrip(b"\n"))
    sys.stdout.buffer.write(server.recv(1024) + b"\n")
server.shutdown(socket.SHUT_WR)
assert server.recv(1024) == b"", "after our end comes the server's"
