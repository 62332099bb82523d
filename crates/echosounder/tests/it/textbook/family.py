"""The textbook's servers and clients on sockets of other families: family.py serve|request 'SCHEME WHERE...'...

WHERE is a host and a port, a context id and a port, a type and an instance, or a port id. A server prints its
address, a client prints each reply; every line begins with the scheme.
"""

import signal
import socket
import sys
import threading
import time

MPTCP, SCTP, USERSOCK = 262, 132, 2
FAMILIES = {
    "vsock": ("AF_VSOCK", socket.SOCK_STREAM, 0),
    "vsock-seqpacket": ("AF_VSOCK", socket.SOCK_SEQPACKET, 0),
    "tipc": ("AF_TIPC", socket.SOCK_STREAM, 0),
    "tipc-seqpacket": ("AF_TIPC", socket.SOCK_SEQPACKET, 0),
    "tipc-rdm": ("AF_TIPC", socket.SOCK_RDM, 0),
    "tipc-dgram": ("AF_TIPC", socket.SOCK_DGRAM, 0),
    "netlink": ("AF_NETLINK", socket.SOCK_DGRAM, USERSOCK),
    "mptcp": ("AF_INET", socket.SOCK_STREAM, MPTCP),
    "sctp": ("AF_INET", socket.SOCK_STREAM, SCTP),
}


class End:
    """A socket, and the address of the server."""

    def __init__(self, scheme, *where):
        self.family, kind, protocol = FAMILIES[scheme]
        self.connected = kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
        self.socket = socket.socket(getattr(socket, self.family), kind, protocol)
        numbers = [int(part) for part in where if part.isdigit()]
        if self.family == "AF_TIPC":
            self.name = (socket.TIPC_ADDR_NAME, numbers[0], numbers[1], 0)
            self.own = (socket.TIPC_ADDR_NAMESEQ, numbers[0], numbers[1], numbers[1], socket.TIPC_NODE_SCOPE)
        elif self.family == "AF_NETLINK":
            self.name = self.own = (numbers[0], 0)
        elif self.family == "AF_VSOCK":
            self.name = self.own = tuple(numbers)
        else:
            self.name = self.own = (where[0], numbers[-1])

    def listen(self):
        """Binds and listens. A TIPC service is published when it is bound, so it listens before."""
        if self.connected and self.family == "AF_TIPC":
            self.socket.listen(5)
        self.socket.bind(self.own)
        if self.connected and self.family != "AF_TIPC":
            self.socket.listen(5)
        return self.socket.getsockname()

    def serve(self):
        while not self.connected:
            message, sender = self.socket.recvfrom(1024)
            self.socket.sendto(stamped(message), sender)
        while True:
            peer, _ = self.socket.accept()
            with peer:
                try:
                    while message := peer.recv(1024):
                        peer.send(stamped(message))
                except ConnectionResetError:
                    assert self.family == "AF_TIPC", "only a TIPC peer closes with a reset"

    def request(self, message):
        if self.connected:
            self.socket.send(message)
            return self.socket.recv(1024)
        self.socket.sendto(message, self.name)
        return self.socket.recvfrom(1024)[0]


def stamped(message):
    return b"[%s] %s" % (time.ctime().encode(), message)


signal.alarm(60)
role, *ends = sys.argv[1:]
messages = sys.stdin.buffer.read().splitlines() if role == "request" else []
for scheme, *where in (end.split() for end in ends):
    end = End(scheme, *where)
    if role == "request":
        if end.connected:
            end.socket.connect(end.name)
        for message in messages:
            print(scheme, end.request(message).decode())
        end.socket.close()
    else:
        print(scheme, end.listen(), flush=True)
        threading.Thread(target=end.serve, daemon=True).start()
# The servers run until the input ends.
sys.stdin.buffer.read()
