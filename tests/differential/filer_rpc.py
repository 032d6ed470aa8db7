"""Entries made by hand: the filer's gRPC, as far as the files of these tests need it.

Messages are written field by field (numbers from weed/pb/filer.proto): a few lines instead of generated code.
"""

import base64
import hashlib
import os
import time
from dataclasses import dataclass, replace

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # the harness forks to start servers, and grpc must not care
import grpc  # noqa: E402
from harness import request
from harness.weed import WeedServer

Field = tuple[int, object]

SYMLINK_MODE = 1 << 27 | 0o777
FILE_MODE = 0o660


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


@dataclass(frozen=True)
class Fixed32:
    """A number that is always four bytes long."""

    number: int


def message(*fields: Field) -> bytes:
    """A protobuf message; None leaves a field out, True is 1, text is UTF-8."""
    out = bytearray()
    for number, value in fields:
        if value is None:
            continue
        if isinstance(value, Fixed32):
            out += _varint(number << 3 | 5) + value.number.to_bytes(4, "little")
        elif isinstance(value, (bool, int)):
            out += _varint(number << 3) + _varint(int(value))
        else:
            raw = value.encode() if isinstance(value, str) else value
            assert isinstance(raw, bytes)
            out += _varint(number << 3 | 2) + _varint(len(raw)) + raw
    return bytes(out)


def read_text(raw: bytes, wanted: int) -> str:
    """The text in a field of a message, "" if there is none."""
    at = 0

    def varint() -> int:
        nonlocal at
        number = shift = 0
        while True:
            byte = raw[at]
            at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return number

    found = ""
    while at < len(raw):
        tag = varint()
        kind = tag & 7
        if kind == 0:
            varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        if tag >> 3 == wanted:
            found = raw[at : at + size].decode()
        at += size
    return found


@dataclass(frozen=True)
class Chunk:
    """A chunk of a file. `by_parts` writes its id as a message and not as text."""

    fid: str
    offset: int
    size: int
    modified: int = 1
    etag: str = ""
    manifest: bool = False
    by_parts: bool = False

    def encode(self) -> bytes:
        """As the filer stores it."""
        volume, rest = self.fid.split(",")
        fid = message((1, int(volume)), (2, int(rest[:-8], 16)), (3, Fixed32(int(rest[-8:], 16))))
        return message(
            (1, None if self.by_parts else self.fid),
            (2, self.offset),
            (3, self.size),
            (4, self.modified),
            (5, self.etag or None),
            (7, fid if self.by_parts else None),
            (11, self.manifest or None),
        )

    def at(self, offset: int, modified: int) -> "Chunk":
        """The same needle at another place of the file."""
        return replace(self, offset=offset, modified=modified)


class FilerRpc:
    """Creates entries and uploads needles."""

    def __init__(self, filer: WeedServer) -> None:
        self._channel = grpc.insecure_channel(f"{filer.host}:{filer.grpc_port}")

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()

    def _call(self, method: str, sent: bytes) -> bytes:
        return self._channel.unary_unary(f"/filer_pb.SeaweedFiler/{method}")(sent, timeout=20)

    def needle(
        self, content: bytes, offset: int = 0, modified: int = 1, mime: str = "application/octet-stream"
    ) -> Chunk:
        """Uploads a needle and gives the chunk that it is, at `offset` of a file. What the volume server takes for text it
        compresses."""
        assigned = self._call("AssignVolume", message((1, 1)))
        fid = read_text(assigned, 1)
        url = read_text(_field(assigned, 9), 1)
        assert fid and url, f"no volume was assigned: {assigned!r}"
        form = f'--b\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: {mime}\r\n\r\n'.encode()
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = request("POST", f"http://{url}/{fid}", headers, form + content + b"\r\n--b--\r\n")
        assert answer.status == 201, answer.body
        etag = base64.b64encode(hashlib.md5(content).digest()).decode()
        return Chunk(fid, offset, len(content), modified, etag)

    def manifest(self, chunks: list[Chunk]) -> Chunk:
        """A needle that lists chunks, as a chunk that covers them."""
        chunks = [replace(chunk, by_parts=True) for chunk in chunks]
        needle = self.needle(message(*((1, chunk.encode()) for chunk in chunks)))
        start, end = min(c.offset for c in chunks), max(c.offset + c.size for c in chunks)
        return replace(needle, offset=start, size=end - start, manifest=True, modified=max(c.modified for c in chunks))

    def create(
        self,
        path: str,
        chunks: list[Chunk] = [],
        *,
        size: int = 0,
        mode: int = FILE_MODE,
        mime: str = "",
        content: bytes = b"",
        extended: dict[str, bytes] | None = None,
        symlink: str = "",
        ttl: int = 0,
        age: int = 100,
        hard_link: bytes = b"",
        remote: bytes = b"",
    ) -> None:
        """Creates a file `age` seconds old."""
        directory, _, name = path.rpartition("/")
        then = int(time.time()) - age
        attributes = message(
            (1, size), (2, then), (3, mode), (6, then), (7, mime or None), (10, ttl or None), (13, symlink or None)
        )
        entry = message(
            (1, name),
            *((3, chunk.encode()) for chunk in chunks),
            (4, attributes),
            *((5, message((1, key), (2, value))) for key, value in (extended or {}).items()),
            (7, hard_link or None),
            (8, 2 if hard_link else None),
            (9, content or None),
            (10, remote or None),
        )
        answer = self._call("CreateEntry", message((1, directory or "/"), (2, entry)))
        assert not (error := read_text(answer, 1)), error


def _field(raw: bytes, wanted: int) -> bytes:
    """A short message within one of small fields: every tag and length is one byte."""
    at = 0
    while at < len(raw):
        tag, size = raw[at], raw[at + 1]
        if tag & 7 == 2:
            if tag >> 3 == wanted:
                return raw[at + 2 : at + 2 + size]
            at += 2 + size
        else:
            at += 2
    return b""
