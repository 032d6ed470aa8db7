"""Changes one bit in the middle of each HTTP body that passes: what a bad line, disk or memory does."""

import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_SMALLEST = 1024


class BodyFlipper:
    """Follows the answers of one connection. A body without a Content-Length passes as it is, and all after it."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        self._flip_at = 0
        self._lost = False

    def feed(self, piece: bytes, *, flip: bool) -> bytes:
        """The piece, with one bit changed where the middle of a body is in it and `flip` is set."""
        changed = bytearray(piece)
        at = 0
        while at < len(piece) and not self._lost:
            at = self._body(changed, at, flip) if self._left else self._heading(piece, at)
        return bytes(changed)

    def _heading(self, piece: bytes, at: int) -> int:
        before = len(self._head)
        self._head += piece[at:]
        end = self._head.find(_HEAD_END)
        if end < 0:
            return len(piece)
        head = bytes(self._head[:end])
        self._head.clear()
        found = _LENGTH.search(head)
        self._lost = found is None
        self._left = int(found[1]) if found else 0
        # Counted from the body's end, as `_left` is; 0 is never reached.
        self._flip_at = self._left // 2 if self._left >= _SMALLEST else 0
        return at + end + len(_HEAD_END) - before

    def _body(self, piece: bytearray, at: int, flip: bool) -> int:
        here = min(self._left, len(piece) - at)
        if flip and self._flip_at and self._left - here < self._flip_at <= self._left:
            piece[at + self._left - self._flip_at] ^= 0x10
        self._left -= here
        return at + here
