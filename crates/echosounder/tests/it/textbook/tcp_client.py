"""The textbook's TCP client: each line is sent without its newline, and one recv returns the reply."""

import signal
import socket
import sys

signal.alarm(30)
host, port = sys.argv[1:]
server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
server.connect((host, int(port)))
for line in sys.stdin.buffer:
    line = line.rstrip(b"\n")
    if not line:
        break
    server.send(line)
    reply = server.recv(1024)
    if not reply:
        break
    sys.stdout.buffer.write(b"Server: %s\n" % reply)
    sys.stdout.flush()
server.close()
