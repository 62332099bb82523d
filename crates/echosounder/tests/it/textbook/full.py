"""A listener whose queue is full: whoever calls now hears nothing at all."""

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
    caller = socket.socket(family, socket.SOCK_STREAM)
    caller.settimeout(0.2)
    waiting.append(caller)
    try:
        caller.connect(listener.getsockname())
    except TimeoutError:
        break
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
