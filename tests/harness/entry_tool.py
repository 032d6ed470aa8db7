"""Changes an entry behind the gateway's back, by the filer's gRPC.

It runs as a program of its own: gRPC has threads, and beside them the harness could not fork to start servers. Messages
are taken apart and put together field by field (numbers from weed/pb/filer.proto).
"""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_CHUNKS, _EXTENDED, _SSE_METADATA = 3, 5, 13
_SERVICE = "/filer_pb.SeaweedFiler"


def change_entry(
    filer_grpc: str,
    path: str,
    *,
    sse_metadata: bytes | Sequence[bytes] | None = None,
    extended: Mapping[str, bytes | None] | None = None,
) -> None:
    """Gives all chunks of the entry this `sse_metadata`, or each its own, and sets attributes; None takes one away."""
    if isinstance(sse_metadata, bytes):
        sse_metadata = [sse_metadata]
    encoded = [base64.b64encode(one).decode() for one in sse_metadata or []]
    attributes = {
        name: None if value is None else base64.b64encode(value).decode() for name, value in (extended or {}).items()
    }
    change = {"filer": filer_grpc, "path": path, "sse_metadata": encoded, "extended": attributes}
    ran = subprocess.run(
        [sys.executable, str(Path(__file__))], input=json.dumps(change), capture_output=True, text=True, timeout=60
    )
    if ran.returncode != 0:
        raise RuntimeError(f"the entry {path} was not changed: {ran.stderr}")


Field = tuple[int, int | bytes]


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def _write(fields: Sequence[Field]) -> bytes:
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            out += _varint(number << 3 | 2) + _varint(len(value)) + value
    return bytes(out)


def _read(raw: bytes) -> list[Field]:
    """The fields of a message of numbers, texts and messages."""
    at, fields = 0, []

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

    while at < len(raw):
        tag = varint()
        if tag & 7 == 0:
            fields.append((tag >> 3, varint()))
        elif tag & 7 == 2:
            length = varint()
            fields.append((tag >> 3, raw[at : at + length]))
            at += length
        else:
            raise ValueError(f"field {tag >> 3} is of a kind that entries do not have")
    return fields


def _main() -> None:
    change = json.load(sys.stdin)
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    import grpc

    channel = grpc.insecure_channel(change["filer"])
    directory, _, name = change["path"].rpartition("/")
    asked = _write([(1, directory.encode()), (2, name.encode())])
    answer = dict(_read(channel.unary_unary(f"{_SERVICE}/LookupDirectoryEntry")(asked, timeout=20)))
    entry = _read(answer[1])
    metadata = [base64.b64decode(one) for one in change["sse_metadata"]]
    attributes = {key: None if text is None else base64.b64decode(text) for key, text in change["extended"].items()}
    changed: list[Field] = []
    chunks = 0
    for number, value in entry:
        if number == _CHUNKS and metadata:
            kept = [field for field in _read(value) if field[0] != _SSE_METADATA]
            value = _write([*kept, (_SSE_METADATA, metadata[min(chunks, len(metadata) - 1)])])
            chunks += 1
        if number == _EXTENDED and dict(_read(value))[1].decode() in attributes:
            continue
        changed.append((number, value))
    for key, value in attributes.items():
        if value is not None:
            changed.append((_EXTENDED, _write([(1, key.encode()), (2, value)])))
    update = _write([(1, directory.encode()), (2, _write(changed))])
    channel.unary_unary(f"{_SERVICE}/UpdateEntry")(update, timeout=20)


if __name__ == "__main__":
    _main()
