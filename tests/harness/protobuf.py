"""Protobuf messages field by field: a few lines instead of generated code, for those few that tests send and read."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Fixed32:
    """A number that is always four bytes long."""

    number: int


@dataclass(frozen=True)
class Fixed64:
    """A number that is always eight bytes long."""

    number: int


Field = tuple[int, object]


def message(*fields: Field) -> bytes:
    """A message of these fields; None leaves one out, True is 1, text is UTF-8."""
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


def fields_of(raw: bytes) -> Iterator[Field]:
    """The fields of a message in their order: int, Fixed32, Fixed64, or bytes, which are a text or a message too."""
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

    while at < len(raw):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
            continue
        if tag & 7 == 1:
            yield tag >> 3, Fixed64(int.from_bytes(raw[at : at + 8], "little"))
            at += 8
            continue
        if tag & 7 not in (2, 5):
            raise ValueError(f"field {tag >> 3} is of a kind that no message here has")
        length = varint() if tag & 7 == 2 else 4
        value = raw[at : at + length]
        at += length
        yield tag >> 3, value if tag & 7 == 2 else Fixed32(int.from_bytes(value, "little"))


def message_in(raw: bytes, number: int) -> bytes:
    """The message in a field, the empty one if there is none."""
    value = dict(fields_of(raw)).get(number, b"")
    assert isinstance(value, bytes)
    return value


def text_in(raw: bytes, number: int) -> str:
    """The text in a field, "" if there is none."""
    return message_in(raw, number).decode()


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])
