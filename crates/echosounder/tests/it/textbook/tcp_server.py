"""The textbook's TCP server: one client at a time, the reply to each read of at most 1,024 bytes is the time and the bytes."""

import signal
import socket
import sys
import time

signal.alarm(30)
host = sys.argv[1]
listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
listener.bind((host, 0))
listener.listen(5)
print(listener.getsockname()[1], flush=True)
while True:
    client, address = listener.accept()
    try:
        while piece := client.recv(1024):
            client.send(b"[%s] %s" % (time.ctime().encode(), piece))
    except OSError as error:
        print("Error:", error, file=sys.stderr)
    client.close()
