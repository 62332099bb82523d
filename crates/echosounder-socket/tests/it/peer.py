"""A peer built on Python's socket module: a server that echoes, or a client that compares.

usage: peer.py server SCHEME VERSION ADDRESS...          VERSION is 4 or 6; other families ignore it
       peer.py client SCHEME VERSION ADDRESS... -- LENGTH...

Addresses are words. Each line of the output is an address or a word.
"""

import os
import socket
import sys

MPTCP, SCTP, USERSOCK = 262, 132, 2

PATIENCE = 10


def make(scheme, version):
    inet = socket.AF_INET6 if version == "6" else socket.AF_INET
    stream, datagram, seqpacket = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET
    family, kind, protocol = {
        "tcp": lambda: (inet, stream, 0),
        "udp": lambda: (inet, datagram, 0),
        "unix": lambda: (socket.AF_UNIX, stream, 0),
        "unix-dgram": lambda: (socket.AF_UNIX, datagram, 0),
        "unix-seqpacket": lambda: (socket.AF_UNIX, seqpacket, 0),
        "vsock": lambda: (socket.AF_VSOCK, stream, 0),
        "vsock-seqpacket": lambda: (socket.AF_VSOCK, seqpacket, 0),
        "tipc": lambda: (socket.AF_TIPC, stream, 0),
        "tipc-seqpacket": lambda: (socket.AF_TIPC, seqpacket, 0),
        "tipc-rdm": lambda: (socket.AF_TIPC, socket.SOCK_RDM, 0),
        "tipc-dgram": lambda: (socket.AF_TIPC, datagram, 0),
        "netlink": lambda: (socket.AF_NETLINK, datagram, USERSOCK),
        "mptcp": lambda: (inet, stream, MPTCP),
        "sctp": lambda: (inet, stream, SCTP),
    }[scheme]()
    sock = socket.socket(family, kind, protocol)
    sock.settimeout(PATIENCE)
    return sock


def address(sock, words):
    """Returns the address that the words name."""
    if sock.family == socket.AF_UNIX:
        return b"" if words == ["-"] else bytes.fromhex(words[0])
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        return words[0], int(words[1])
    numbers = tuple(map(int, words))
    # A service has an upper bound of its own, or a domain, behind it.
    return numbers + (0,) if has("AF_TIPC", sock) else numbers


def emit_address(sock, address):
    """Prints an address in words."""
    if sock.family == socket.AF_UNIX:
        emit(os.fsencode(address).hex() if address else "-")
    elif has("AF_TIPC", sock):
        emit(*address[:3])
    else:
        emit(*address[:2])


def has(family, sock):
    return sock.family == getattr(socket, family, None)


def emit(*words):
    print(*words, flush=True)


def is_datagram(sock):
    return sock.type in (socket.SOCK_DGRAM, socket.SOCK_RDM)


def serve(sock, words):
    name = address(sock, words)
    # A TIPC bind is published at once, so the socket listens before. Clients use the bound name.
    if has("AF_TIPC", sock):
        if not is_datagram(sock):
            sock.listen()
        sock.bind(name)
        emit_address(sock, name)
    else:
        sock.bind(name)
        if not is_datagram(sock):
            sock.listen()
        emit_address(sock, sock.getsockname())
    reply_to_datagrams(sock) if is_datagram(sock) else reply_to_connection(sock)


def reply_to_datagrams(sock):
    while True:
        data, peer = sock.recvfrom(1 << 18)
        emit_address(sock, peer)
        sock.sendto(data, peer)
        if data == b"stop":
            return


def reply_to_connection(listener):
    sock, peer = listener.accept()
    sock.settimeout(PATIENCE)
    emit_address(sock, peer)
    emit_address(sock, sock.getsockname())
    received = 0
    while True:
        try:
            data = sock.recv(1 << 18)
        except ConnectionResetError:
            # TIPC reports the end of a connection this way.
            data = b""
        if not data:
            return emit("received", received)
        received += len(data)
        sock.sendall(data)


def exchange(sock, words, lengths):
    to = address(sock, words)
    if is_datagram(sock):
        if not has("AF_TIPC", sock):
            sock.bind(address(sock, ["-"]) if sock.family == socket.AF_UNIX else nobody(sock))
        emit_address(sock, sock.getsockname())
    else:
        if sock.family == socket.AF_UNIX:
            sock.bind(b"")
        sock.connect(to)
        emit_address(sock, sock.getsockname())
        emit_address(sock, sock.getpeername())
    for length in lengths:
        emit(length, "same" if echo(sock, to, pattern(length)) else "different")
    emit("done")


def nobody(sock):
    """An address of this machine that the kernel completes."""
    if sock.family == socket.AF_NETLINK:
        return 0, 0
    return ("127.0.0.1" if sock.family == socket.AF_INET else "::1"), 0


def echo(sock, to, data):
    if is_datagram(sock):
        sock.sendto(data, to)
        return sock.recvfrom(1 << 18)[0] == data
    sock.sendall(data)
    received = sock.recv(1 << 18)
    while sock.type == socket.SOCK_STREAM and len(received) < len(data):
        more = sock.recv(1 << 18)
        if not more:
            break
        received += more
    return received == data


def pattern(length):
    period = bytes(place * 7 % 251 for place in range(251))
    return (period * (length // 251 + 1))[:length]


def main(role, scheme, version, *words):
    sock = make(scheme, version)
    if role == "server":
        serve(sock, list(words))
    else:
        end = words.index("--")
        exchange(sock, list(words[:end]), list(map(int, words[end + 1 :])))


main(*sys.argv[1:])
