"""A listener whose queue is full: further connections are neither accepted nor refused."""

import signal
import socket
import sys

signal.alarm(30)
host = sys.argv[1]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
listener = socket.socket(family, socket.SOCK_STREAM)
listener.bind((host, 0))
listener.listen(0)
waiting = []
while True:
    client = socket.socket(family, socket.SOCK_STREAM)
    client.settimeout(0.2)
    waiting.append(client)
    try:
        client.connect(listener.getsockname())
    except TimeoutError:
        break
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
