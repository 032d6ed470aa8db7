"""Reads made from a seed: every run of the same seed asks the same."""

import random
from collections.abc import Callable, Iterator
from email.utils import formatdate, parsedate_to_datetime

from harness.line import Pair, Request
from harness.sigv import presigned, presigned_v2, signed, signed_v2
from objects import CUSTOMER_KEY, WRONG_KEY, Object
from people import ADMIN

RANGES = [
    "bytes=a-b", "bytes=5-3", "Bytes=0-3", "items=0-3", "0-3", "bytes=0-3;", "bytes=-", "bytes=", "bytes=--3", "bytes=5",
    "bytes =0-3", "bytes=0-99999999999999999999", "bytes=99999999999999999999-", "bytes= 1-2", "bytes=+1-3", "bytes=1-2,4-5",
    "bytes=0-0,-1", "bytes=-0", "bytes=0-9223372036854775807", "bytes=1 -2", "bytes=1- 2", " bytes=1-2", "bytes=1-2 ",
]  # fmt: skip
QUERIES = [
    "response-content-type=text%2Fx-other", "response-cache-control=no-store", "response-content-language=fy",
    "response-content-disposition=attachment%3B%20filename%3Dz", "response-content-encoding=identity",
    "response-expires=Thu%2C%2001%20Dec%201994%2016%3A00%3A00%20GMT", "response-content-type=", "Response-Content-Type=a%2Fb",
    "response-content-type=a%2Fb&response-cache-control=x", "response-content-type=a%0D%0AX-Injected%3A1",
    "partNumber=1", "partNumber=2", "partNumber=3", "partNumber=4", "partNumber=0", "partNumber=x", "partNumber=",
    "versionId=null", "versionId=", "versionId=67146a03d5e654a9a0c3ed68db25b025", "versionId=..%2F..", "x=1", "x", "x-id=GetObject",
    "tagging", "acl", "attributes", "torrent", "legal-hold", "retention", "uploads", "uploadId=x", "dl=true", "metadata=true",
    "proxyChunkId=3,01637037d6", "readDeleted=true", "width=20", "list-type=2", "select", "partNumber=1&partNumber=2",
]  # fmt: skip
ACCEPTS = ["gzip", "identity", "gzip, deflate, br", "*", "gzip;q=0"]
ORIGINS = ["https://harbour.example", "https://other.example", "null"]


class Generator:
    """Requests for one object, all by somebody who may read it."""

    def __init__(self, seed: str, made: Object, host: str, etag: str, modified: str) -> None:
        self.random = random.Random(seed)
        self.made = made
        self.host = host
        self.size = len(made.content or b"")
        self.etag = etag
        self.modified = modified

    def requests(self, count: int) -> Iterator[Request]:
        """So many of them."""
        for _ in range(count):
            yield self.one()

    def one(self) -> Request:
        """One request: mostly a GET, mostly with something special about it."""
        pick = self.random
        method = pick.choices(["GET", "HEAD", "OPTIONS"], [85, 12, 3])[0]
        target = self.made.target
        headers: list[Pair] = list(self.customer_key())
        ranged = pick.random() < 0.5
        if ranged:
            headers.append(("Range", self.range()))
        if pick.random() < 0.3:
            headers += self.conditions(ranged)
        if pick.random() < 0.25:
            headers.append(("x-amz-checksum-mode", pick.choice(["ENABLED", "ENABLED", "enabled", "x"])))
        if pick.random() < 0.3:
            target += ("&" if "?" in target else "?") + pick.choice(QUERIES)
        if pick.random() < 0.1:
            headers.append(("Origin", pick.choice(ORIGINS)))
        if pick.random() < 0.15:
            headers.append(("Accept-Encoding", pick.choice(ACCEPTS)))
        if pick.random() < 0.03:
            headers.append(("X-Long", "x" * pick.choice([1000, 8000])))
        return self.signature()(Request(target, method, tuple(headers)))

    def signature(self) -> Callable[[Request], Request]:
        """How it is signed: as SDKs do, with headers beside the signature, in the URL, and in the old way."""
        pick = self.random
        match pick.randrange(6):
            case 0:
                return lambda request: signed(request, ADMIN, self.host, unsigned=self.loose(request))
            case 1:
                return lambda request: presigned(request, ADMIN, self.host, also_signed=dict(request.headers))
            case 2:
                return lambda request: presigned(request, ADMIN, self.host, also_signed=self.amz(request))
            case 3:
                make = pick.choice([signed_v2, presigned_v2])
                return lambda request: make(request, ADMIN, self.host)
            case _:
                return lambda request: signed(request, ADMIN, self.host)

    @staticmethod
    def loose(request: Request) -> list[str]:
        """The headers that need not be signed."""
        return [name for name, _ in request.headers if not name.lower().startswith("x-amz-")]

    @staticmethod
    def amz(request: Request) -> dict[str, str]:
        """The headers that must be signed."""
        return {name: value for name, value in request.headers if name.lower().startswith("x-amz-")}

    def customer_key(self) -> tuple[Pair, ...]:
        """The right customer key mostly; else another one, a part of it, or one where none is wanted."""
        if self.random.random() < 0.9:
            return self.made.key_headers
        right, wrong = list(CUSTOMER_KEY.headers().items()), list(WRONG_KEY.headers().items())
        mixed = [*right[:2], wrong[2]]
        algorithm = [(right[0][0], "AES128"), *right[1:]]
        short = [right[0], (right[1][0], "c2hvcnQ="), right[2]]
        return tuple(self.random.choice([[], right, wrong, right[:2], right[1:], mixed, algorithm, short]))

    def position(self) -> int:
        """A byte where something begins or ends, or one beside it, or any."""
        pick = self.random
        edges = [0, self.size, self.size - 1, *self.made.edges]
        at = pick.choice(edges) + pick.choice([-1, 0, 0, 1]) if pick.random() < 0.7 else pick.randrange(self.size + 2)
        return max(at, 0)

    def range(self) -> str:
        """A Range header."""
        pick = self.random
        if pick.random() < 0.2:
            return pick.choice(RANGES)
        match pick.randrange(5):
            case 0:
                return f"bytes={self.position()}-"
            case 1:
                return f"bytes=-{pick.choice([1, 2, 100, self.size, self.size + 1])}"
            case 2:
                first, last = sorted((self.position(), self.position()))
                return f"bytes={first}-{last}"
            case _:
                first = self.position()
                return f"bytes={first}-{first + pick.choice([0, 1, 15, 100, 70_000])}"

    def tag(self) -> str:
        """An entity tag: that of the object or another, in every form."""
        mine = self.etag.strip('"') or "none"
        return self.random.choice(
            [f'"{mine}"', f'"{mine}"', mine, f'W/"{mine}"', '"other"', f'"other", "{mine}"', '"a", "b"', "*", '""', "W/*"]
        )

    def date(self) -> str:
        """A date around the object's."""
        if not self.modified:
            return formatdate(0, usegmt=True)
        stamp = parsedate_to_datetime(self.modified).timestamp()
        text = formatdate(stamp + self.random.choice([-100_000, -2, -1, 0, 0, 0, 1, 2, 100_000]), usegmt=True)
        return self.random.choice([text, text, text, text, "yesterday", text.replace("GMT", "CET")])

    def conditions(self, ranged: bool) -> list[Pair]:
        """One or two preconditions."""
        names = ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", *(["If-Range"] * ranged)]
        chosen = self.random.sample(names, self.random.choice([1, 1, 1, 2, 2, 3]))
        tagged = {"If-Match", "If-None-Match"}
        return [
            (name, self.tag() if name in tagged or (name == "If-Range" and self.random.random() < 0.6) else self.date())
            for name in chosen
        ]
