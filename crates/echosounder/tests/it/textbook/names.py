"""Runs the program in its arguments beside a hostile name server on 127.0.0.1:53, and exits with the program's status.
The first label of a name says how the server answers a query for it."""

import signal
import socket
import struct
import subprocess
import sys
import threading
import time

signal.alarm(120)
POINTER = b"\xc0\x0c"
ADDRESS, ALIAS = 1, 5
TRUNCATED, UNKNOWN = 0x8380, 0x8183


def question(query):
    at = 12
    while query[at]:
        at += 1 + query[at]
    return query[13 : 13 + query[12]].decode(), query[12 : at + 5], struct.unpack("!H", query[at + 1 : at + 3])[0]


def record(kind, data):
    return POINTER + struct.pack("!HHIH", kind, 1, 60, len(data)) + data


def reply(query, records=(), flags=0x8180):
    header = query[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0)
    return header + question(query)[1] + b"".join(records)


def addresses(query, count):
    is_for_addresses = question(query)[2] == ADDRESS
    return [record(ADDRESS, bytes([127, 9, n >> 8, n & 255])) for n in range(count)] if is_for_addresses else []


def datagrams(query):
    how, asked, _ = question(query)
    return {
        "silent": [],
        "garbage": [query[:2] + b"\xff" * 500],
        "noise": [b"\x1b]0;title\x07" * 10] * 100,
        "forged": [bytes([query[0] ^ 1]) + reply(query, addresses(query, 1))[1:]],
        "drip": [reply(query, flags=TRUNCATED)],
        "thousands": [reply(query, flags=TRUNCATED)],
        "loop": [reply(query, [record(ALIAS, asked[:-4])])],
        "empty": [reply(query)],
        "unknown": [reply(query, flags=UNKNOWN)],
    }[how]


def serve_stream(stream):
    file = stream.makefile("rb")
    while len(length := file.read(2)) == 2:
        query = file.read(struct.unpack("!H", length)[0])
        answer = reply(query, addresses(query, 4000))
        answer = struct.pack("!H", len(answer)) + answer
        if question(query)[0] == "drip":
            for byte in answer:
                stream.sendall(bytes([byte]))
                time.sleep(0.1)
        stream.sendall(answer)


def serve_streams(listener):
    while True:
        threading.Thread(target=serve_stream, args=(listener.accept()[0],), daemon=True).start()


def serve_datagrams(server):
    while True:
        query, sender = server.recvfrom(4096)
        for datagram in datagrams(query):
            server.sendto(datagram, sender)


threading.excepthook = lambda _: None
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve_datagrams, args=(server,), daemon=True).start()
threading.Thread(target=serve_streams, args=(socket.create_server(("127.0.0.1", 53)),), daemon=True).start()
sys.exit(subprocess.run(sys.argv[1:]).returncode if sys.argv[1:] else 0)
