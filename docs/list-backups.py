#!/usr/bin/env python3
"""Lists the backups that basaltd knows, over its control socket: an example of the protocol in docs/protocol.md.

Python 3 and its standard library only; the few forms of MessagePack that the protocol uses are read and written here.

    list-backups.py [SOCKET] [--project PROJECT]        (SOCKET may also come from BASALT_SOCKET)
"""

import argparse
import os
import socket
import struct
import sys

FRAME_BYTES_MAX = 1024 * 1024
PROTOCOL_MAJOR, PROTOCOL_MINOR = 1, 0


def pack(value):
    """A value as MessagePack."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        items = b"".join(pack(key) + pack(item) for key, item in value.items())
        return b"\xdf" + struct.pack(">I", len(value)) + items
    raise TypeError(f"no MessagePack for {type(value)}")


class Unpacker:
    """One MessagePack value from bytes."""

    NUMBERS = {
        0xCA: ">f", 0xCB: ">d",
        0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
        0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q",
    }
    LENGTHS = (">B", ">H", ">I")

    def __init__(self, body):
        self.body, self.at = body, 0

    def take(self, count):
        piece = self.body[self.at:self.at + count]
        if len(piece) < count:
            raise ValueError("the message ends too early")
        self.at += count
        return piece

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self):
        tag = self.take(1)[0]
        if tag <= 0x7F:
            return tag
        if tag >= 0xE0:
            return tag - 0x100
        if tag <= 0x8F:
            return self.map(tag & 0x0F)
        if tag <= 0x9F:
            return self.array(tag & 0x0F)
        if tag <= 0xBF:
            return self.take(tag & 0x1F).decode()
        if tag in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
        if tag in self.NUMBERS:
            number = self.number(self.NUMBERS[tag])
            # Whole numbers beyond 32 bits come as floats that carry them exactly.
            return int(number) if isinstance(number, float) and number.is_integer() else number
        if 0xC4 <= tag <= 0xC6:
            return self.take(self.number(self.LENGTHS[tag - 0xC4]))
        if 0xD9 <= tag <= 0xDB:
            return self.take(self.number(self.LENGTHS[tag - 0xD9])).decode()
        if tag in (0xDC, 0xDD):
            return self.array(self.number(self.LENGTHS[tag - 0xDB]))
        if tag in (0xDE, 0xDF):
            return self.map(self.number(self.LENGTHS[tag - 0xDD]))
        raise ValueError(f"byte {tag:#x} begins no value of the protocol")

    def array(self, count):
        return [self.value() for _ in range(count)]

    def map(self, count):
        return {self.value(): self.value() for _ in range(count)}


class Fault(Exception):
    """What the daemon answers when it can't do what was asked."""


class Connection:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.id = 0
        self.call("hello", client="list-backups.py", major=PROTOCOL_MAJOR, minor=PROTOCOL_MINOR)

    def call(self, method, **params):
        self.id += 1
        body = pack({"id": self.id, "method": method, "params": params})
        self.socket.sendall(struct.pack(">I", len(body)) + body)
        while True:
            message = self.receive()
            if "error" in message and message.get("id") in (None, self.id):
                raise Fault("{message} ({code})\n{hint}".format(**message["error"]))
            if message.get("id") == self.id and "result" in message:
                return message["result"]

    def receive(self):
        (length,) = struct.unpack(">I", self.exactly(4))
        if length > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {length} bytes is too large")
        return Unpacker(self.exactly(length)).value()

    def exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError("the daemon closed the connection")
            data += piece
        return bytes(data)


def backups(connection, project):
    """All backups, page by page."""
    page = {"project": project}
    while True:
        answer = connection.call("backup.list", **page)
        yield from answer["backups"]
        if answer["next_marker"] is None:
            return
        page["marker"] = answer["next_marker"]


def main():
    parser = argparse.ArgumentParser(description="Lists the backups that basaltd knows.")
    parser.add_argument("socket", nargs="?", default=os.environ.get("BASALT_SOCKET", "/run/basalt/basaltd.sock"))
    parser.add_argument("--project", default="default")
    arguments = parser.parse_args()
    try:
        for backup in backups(Connection(arguments.socket), arguments.project):
            print(backup["id"], backup["status"], backup["size_bytes"], backup["volume_name"], backup["name"] or "-", sep="\t")
    except (Fault, OSError, ValueError) as problem:
        print(f'Cannot list the backups over "{arguments.socket}": {problem}', file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
