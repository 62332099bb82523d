"""A timestamped echo server over asyncio or uvloop. Usage: asyncio_server.py asyncio|uvloop tcp|udp PORT, … unix|unix-dgram PATH"""

import asyncio
import socket
import sys
import time

CHUNK = 1024
second, stamp = 0, b""


def now():
    """The stamp of this second, rendered once."""
    global second, stamp
    current = int(time.time())
    if current != second:
        second, stamp = current, f"[{time.ctime(current)}] ".encode()
    return stamp


class Stream(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        head = now()
        if len(data) <= CHUNK:
            self.transport.write(head + data)
        else:
            self.transport.write(b"".join(head + data[i : i + CHUNK] for i in range(0, len(data), CHUNK)))

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


class Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)

    def datagram_received(self, data, peer):
        self.transport.sendto(now() + data, peer)


async def serve(transport, where):
    loop = asyncio.get_running_loop()
    if transport == "tcp":
        server = await loop.create_server(Stream, "127.0.0.1", int(where), backlog=4096)
    elif transport == "unix":
        server = await loop.create_unix_server(Stream, where, backlog=4096)
    elif transport == "udp":
        server = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", int(where)))
    else:
        server = await loop.create_datagram_endpoint(Datagrams, local_addr=where, family=socket.AF_UNIX)
    await asyncio.Event().wait()
    del server


def main():
    loop, transport, where = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(serve(transport, where))


main()
