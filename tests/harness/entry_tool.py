"""Changes an entry behind the gateway's back, by the filer's gRPC.

It runs as a program of its own: gRPC has threads, and beside them the harness could not fork to start servers. The numbers
of fields are those of weed/pb/filer.proto.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .protobuf import Field, fields_of, message, text_in

_CHUNKS, _ATTRIBUTES, _EXTENDED, _SIZE, _SSE_METADATA = 3, 4, 5, 3, 13
_OF_CHUNK = {
    "modified_ts_ns": 4,
    "e_tag": 5,
    "cipher_key": 9,
    "is_compressed": 10,
    "is_chunk_manifest": 11,
    "sse_type": 12,
    "sse_metadata": 13,
}
_OF_ATTRIBUTES = {"file_size": 1, "mtime": 2, "crtime": 6, "md5": 14, "ctime": 18, "mtime_ns": 19, "ctime_ns": 20}


def change_entry(
    filer_grpc: str,
    path: str,
    *,
    sse_metadata: bytes | Sequence[bytes] | None = None,
    extended: Mapping[str, bytes | None] | None = None,
    sizes: Sequence[int] = (),
    file_size: int | None = None,
    chunks_of: str | None = None,
    chunk: Mapping[str, int | str | None] | None = None,
    attributes: Mapping[str, int | None] | None = None,
) -> None:
    """Gives all chunks of the entry this `sse_metadata`, or each its own, and sets attributes; None takes one away.

    `sizes` are those of the chunks, in the order in which they are listed, and `file_size` is that of the file.
    The chunks are replaced by those of the entry `chunks_of`. `chunk` sets fields of all chunks and `attributes` some of the
    file's, by their names in the proto file; None takes one away.
    """
    if isinstance(sse_metadata, bytes):
        sse_metadata = [sse_metadata]
    encoded = [base64.b64encode(one).decode() for one in sse_metadata or []]
    extended_by_name = {
        name: None if value is None else base64.b64encode(value).decode() for name, value in (extended or {}).items()
    }
    change = {
        "filer": filer_grpc,
        "path": path,
        "sse_metadata": encoded,
        "extended": extended_by_name,
        "sizes": list(sizes),
        "chunks_of": chunks_of,
        "chunk": dict(chunk or {}),
        "attributes": {**(attributes or {}), **({} if file_size is None else {"file_size": file_size})},
    }
    ran = subprocess.run(
        [sys.executable, "-m", __name__],
        cwd=Path(__file__).resolve().parents[1],
        input=json.dumps(change),
        capture_output=True,
        text=True,
        timeout=60,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"the entry {path} was not changed: {ran.stderr}")


def _main() -> None:
    change = json.load(sys.stdin)
    from .filer_grpc import FilerGrpc

    filer = FilerGrpc(change["filer"])
    entry = filer.entry(change["path"])
    if change["chunks_of"]:
        entry = [field for field in entry if field[0] != _CHUNKS]
        entry += [field for field in filer.entry(change["chunks_of"]) if field[0] == _CHUNKS]
    metadata = [base64.b64decode(one) for one in change["sse_metadata"]]
    attributes = {key: None if text is None else base64.b64decode(text) for key, text in change["extended"].items()}
    changed: list[Field] = []
    chunks = 0
    for number, value in entry:
        if number == _CHUNKS:
            for name, one in change["chunk"].items():
                value = _with(value, _OF_CHUNK[name], one)
            if metadata:
                value = _with(value, _SSE_METADATA, metadata[min(chunks, len(metadata) - 1)])
            if change["sizes"]:
                value = _with(value, _SIZE, change["sizes"][chunks])
            chunks += 1
        if number == _ATTRIBUTES:
            for name, one in change["attributes"].items():
                value = _with(value, _OF_ATTRIBUTES[name], one)
        if number == _EXTENDED and text_in(value, 1) in attributes:
            continue
        changed.append((number, value))
    for key, value in attributes.items():
        if value is not None:
            changed.append((_EXTENDED, message((1, key), (2, value))))
    filer.update(change["path"], changed)


def _with(raw: bytes, number: int, value: object) -> bytes:
    """The message with another value in that field."""
    return message(*(field for field in fields_of(raw) if field[0] != number), (number, value))


if __name__ == "__main__":
    _main()
