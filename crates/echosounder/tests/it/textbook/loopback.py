"""Brings up the loopback interface of a new network namespace, and executes the program in its arguments."""

import fcntl
import os
import socket
import struct
import sys

SIOCSIFFLAGS, UP_AND_RUNNING = 0x8914, 0x41
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))
os.execvp(sys.argv[1], sys.argv[1:])
