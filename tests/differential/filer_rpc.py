"""Entries made by hand: the filer's gRPC, as far as the files of these tests need it.

The numbers of fields are those of weed/pb/filer.proto.
"""

import base64
import hashlib
import time
from dataclasses import dataclass, replace

from harness import request
from harness.filer_grpc import FilerGrpc
from harness.protobuf import Fixed32, message, message_in, text_in
from harness.weed import WeedServer

SYMLINK_MODE = 1 << 27 | 0o777
FILE_MODE = 0o660


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
    cipher_key: bytes = b""

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
            (9, self.cipher_key or None),
            (11, self.manifest or None),
        )

    def at(self, offset: int, modified: int) -> "Chunk":
        """The same needle at another place of the file."""
        return replace(self, offset=offset, modified=modified)


class FilerRpc(FilerGrpc):
    """Creates entries and uploads needles."""

    def __init__(self, filer: WeedServer) -> None:
        super().__init__(f"{filer.host}:{filer.grpc_port}")

    def needle(
        self, content: bytes, offset: int = 0, modified: int = 1, mime: str = "application/octet-stream"
    ) -> Chunk:
        """Uploads a needle and gives the chunk that it is, at `offset` of a file. What the volume server takes for text it
        compresses."""
        assigned = self.call("AssignVolume", message((1, 1)))
        fid = text_in(assigned, 1)
        url = text_in(message_in(assigned, 9), 1)
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
        answer = self.call("CreateEntry", message((1, directory or "/"), (2, entry)))
        assert not (error := text_in(answer, 1)), error
