"""Gives a file so many chunks as no upload would: all of one needle, one behind the other.

A program of its own, since gRPC has threads and whoever starts servers must have none:
`crumbs.py FILER_GRPC PATH MANY`. The numbers of fields are those of weed/pb/filer.proto.
"""

import subprocess
import sys
from pathlib import Path

import setting  # noqa: F401  # It has the harness found.
from harness import Front
from harness.protobuf import fields_of, message

CHUNKS, ATTRIBUTES = 3, 4
OFFSET, SIZE = 2, 3
FILE_SIZE, MD5 = 1, 14


def repeat_chunk(front: Front, path: str, many: int) -> None:
    """The file at `path`, which has one chunk, gets that many of it."""
    grpc = f"{front.filer.host}:{front.filer.grpc_port}"
    argv = [sys.executable, Path(__file__), grpc, path, str(many)]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    if ran.returncode != 0:
        raise RuntimeError(f"{path} was not given {many} chunks: {ran.stderr}")


def main() -> None:
    """The program."""
    from harness.filer_grpc import FilerGrpc

    grpc, path, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
    filer = FilerGrpc(grpc)
    entry = filer.entry(path)
    (chunk,) = [list(fields_of(value)) for number, value in entry if number == CHUNKS]
    (attributes,) = [list(fields_of(value)) for number, value in entry if number == ATTRIBUTES]
    (size,) = [value for number, value in chunk if number == SIZE]
    same = [field for field in chunk if field[0] not in (OFFSET, SIZE)]
    chunks = [(CHUNKS, message((OFFSET, at * size), (SIZE, size), *same)) for at in range(many)]
    kept = [field for field in attributes if field[0] not in (FILE_SIZE, MD5)]
    rest = [field for field in entry if field[0] not in (CHUNKS, ATTRIBUTES)]
    filer.update(path, [*rest, *chunks, (ATTRIBUTES, message((FILE_SIZE, many * size), *kept))])


if __name__ == "__main__":
    main()
