"""Bytes to write and to find again: cheap to make, different at every offset, the same at every run."""

import hashlib
from dataclasses import dataclass

_BLOCK = 1 << 20


def _block(seed: str, index: int) -> bytes:
    return hashlib.shake_128(f"{seed}/{index}".encode()).digest(_BLOCK)


@dataclass(frozen=True)
class Payload:
    """`size` bytes that follow from `seed`."""

    seed: str
    size: int

    def bytes(self) -> bytes:
        """All of it."""
        return self.range(0, self.size)

    def range(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to, not including, `end`."""
        end = min(end, self.size)
        if start >= end:
            return b""
        blocks = [_block(self.seed, index) for index in range(start // _BLOCK, (end - 1) // _BLOCK + 1)]
        skip = start % _BLOCK
        return b"".join(blocks)[skip : skip + end - start]

    def sha256(self) -> str:
        """Hex SHA-256 of all of it."""
        return hashlib.sha256(self.bytes()).hexdigest()
