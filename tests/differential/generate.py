"""Requests made from a seed: every run of the same seed asks the same."""

import random
from collections.abc import Iterator
from email.utils import formatdate, parsedate_to_datetime

from differences import Known
from harness.line import Pair, Request

GARBAGE_RANGES = [
    "bytes=a-b", "bytes=5-3", "Bytes=0-3", "items=0-3", "0-3", "bytes=0-3;", "bytes=-", "bytes=", "bytes=,", "bytes=--3",
    "bytes=5", "bytes =0-3", "bytes=0-99999999999999999999", "bytes=99999999999999999999-", "bytes=1-2-3", "bytes= 1-2",
    "bytes=+1-3", "bytes=0x1-2", "none", "bytes=9223372036854775807-", "bytes=-9223372036854775807", "bytes=0-0,x",
]  # fmt: skip
QUERIES = [
    "dl=true", "dl=1", "dl=", "dl=nonsense", "metadata=true", "metadata=true&resolveManifest=true", "metadata=false",
    "response-content-type=text%2Fx-override", "response-cache-control=no-store", "response-content-language=fy",
    "response-content-disposition=attachment%3B%20filename%3Dz", "response-content-encoding=identity",
    "response-expires=Thu%2C%2001%20Dec%201994%2016%3A00%3A00%20GMT", "Response-Content-Type=a/b", "limit=2",
    "response-content-type=&dl=t", "tagging", "width=20&height=20", "cm=true", "readDeleted=true", "a=%zz&b;c", "x=%C3%BC+",
    "proxyChunkId=3,01637037d6", "response-content-type=a%0d%0aX-Injected:1", "lastFileName=a", "pretty=y",
]  # fmt: skip
ACCEPTS = ["gzip", "identity", "gzip, deflate, br", "*", "gzip;q=0"]


class Generator:
    """Requests for one file."""

    def __init__(self, seed: str, known: Known) -> None:
        self.random = random.Random(seed)
        self.file = known.file
        self.size = known.size
        self.etag = known.etag
        self.modified = known.modified

    def requests(self, count: int) -> Iterator[Request]:
        """So many of them."""
        for _ in range(count):
            yield self.one()

    def one(self) -> Request:
        """One request: mostly a GET, mostly with something special about it."""
        pick = self.random
        method = pick.choices(["GET", "HEAD", "OPTIONS"], [80, 15, 5])[0]
        headers: list[Pair] = list(self.file.key_headers)
        target = self.file.target
        ranged = pick.random() < 0.6 or (self.file.parts_only and method == "GET")
        if ranged:
            headers.append(("Range", self.single() if self.file.parts_only else self.range()))
        if pick.random() < 0.3 and not (self.file.parts_only and method == "GET"):
            headers += self.conditions(ranged)
        if pick.random() < 0.2:
            target += "?" + pick.choice(QUERIES)
        if pick.random() < 0.1:
            headers.append(("Origin", pick.choice(["https://harbour.example", "null"])))
        if pick.random() < 0.15:
            headers.append(("Accept-Encoding", pick.choice(ACCEPTS)))
        if pick.random() < 0.05:
            headers.append(("Accept", "application/json"))
        if pick.random() < 0.04:
            headers.append(("X-Long", "x" * pick.choice([1000, 8000, 30_000])))
        body = b"a body that means nothing" if pick.random() < 0.03 else b""
        return Request(target, method, tuple(headers), body)

    def position(self) -> int:
        """A byte where something begins or ends, or one beside it, or any."""
        pick = self.random
        edges = [0, self.size, self.size - 1, *self.file.edges]
        at = pick.choice(edges) + pick.choice([-1, 0, 0, 1]) if pick.random() < 0.7 else pick.randrange(self.size + 2)
        return max(at, 0)

    def single(self) -> str:
        """A well-formed range that is not long."""
        first = self.position()
        return f"bytes={first}-{first + self.random.choice([0, 1, 15, 100, 70_000])}"

    def spec(self) -> str:
        """One of a set of ranges."""
        pick = self.random
        match pick.randrange(6):
            case 0:
                return f"{self.position()}-"
            case 1:
                return f"-{pick.choice([0, 1, 2, 100, self.size, self.size + 1])}"
            case 2:
                at = self.position()
                return f"{at}-{at}"
            case _:
                first, last = sorted((self.position(), self.position()))
                return f"{first}-{last}"

    def range(self) -> str:
        """A Range header."""
        pick = self.random
        chance = pick.random()
        if chance < 0.55:
            return "bytes=" + self.spec()
        if chance < 0.7:
            return pick.choice(GARBAGE_RANGES)
        if chance < 0.9 and self.size:
            # Short ones, which fit into the file together.
            firsts = [self.position() for _ in range(pick.choice([2, 2, 3, 5, 9]))]
            return "bytes=" + pick.choice([",", ", "]).join(f"{at}-{at + pick.choice([0, 1, 30])}" for at in firsts)
        if chance < 0.92 and self.size:
            return "bytes=" + ",".join(f"{pick.randrange(self.size)}-" for _ in range(pick.choice([2, 140])))
        if chance < 0.94 and self.size > 1000:
            return "bytes=" + ",".join(f"{at * 3}-{at * 3}" for at in range(pick.choice([100, 140])))
        return "bytes=" + ",".join(self.spec() for _ in range(pick.choice([2, 3, 4])))

    def tag(self) -> str:
        """An entity tag: that of the file or another, in every form."""
        mine = self.etag.strip('"') or "none"
        return self.random.choice(
            [f'"{mine}"', f'"{mine}"', mine, f'W/"{mine}"', '"other"', f'"other", "{mine}"', '"a", "b"', "*", '""', "W/*"]
        )

    def date(self) -> str:
        """A date around the file's."""
        if not self.modified:
            return formatdate(0, usegmt=True)
        stamp = parsedate_to_datetime(self.modified).timestamp()
        shift = self.random.choice([-100_000, -2, -1, 0, 0, 0, 1, 2, 100_000])
        text = formatdate(stamp + shift, usegmt=True)
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
