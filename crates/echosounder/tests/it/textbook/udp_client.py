"""The textbook's UDP client: each line is a datagram, and the next datagram that arrives is the reply."""

import signal
import socket
import sys

signal.alarm(30)
host, port = sys.argv[1:]
server = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin.buffer:
    line = line.rstrip(b"\n")
    if not line:
        break
    server.sendto(line, (host, int(port)))
    reply, _ = server.recvfrom(1024)
    if not reply:
        break
    sys.stdout.buffer.write(b"Server: %s\n" % reply)
    sys.stdout.flush()
server.close()
