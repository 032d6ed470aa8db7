"""A bucket for one test: a few encrypted objects, and its policy, which is put where the test says."""

from collections.abc import Callable
from dataclasses import dataclass, field

from harness import Payload
from harness.line import Pair, Reply, Request
from harness.sigv import Identity, signed
from people import ADMIN, policy
from sides import Sides

PUBLIC, PRIVATE, TAGGED = "public/a", "private/a", "public/tagged"
KEYS = (PUBLIC, PRIVATE, TAGGED)
SIZE = 70_001
TAG = ("secret", "yes")
_ENCRYPTED = (("x-amz-server-side-encryption", "AES256"),)


def content(bucket: str, key: str) -> bytes:
    """What is in an object: another for every bucket and key, so that bytes tell where they are from."""
    return Payload(f"{bucket}/{key}", SIZE).bytes()


@dataclass
class Bucket:
    """A bucket at both sides. `through` is the line by which it is changed: tidegate's unless a test says otherwise."""

    sides: Sides
    name: str
    versions: dict[str, str] = field(default_factory=dict)
    """The ids of the first versions by key, where there are any."""

    def create(self, *, versioned: bool = False) -> "Bucket":
        """Makes it with its objects in it, encrypted with a key of the gateway's. Versioned: each has been replaced once."""
        self.do("PUT", "")
        if versioned:
            enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
            self.do("PUT", "?versioning", enabled.encode())
        for key in KEYS:
            if versioned:
                first = self.put(key, content(self.name, f"{key} first"))
                self.versions[key] = first.header("x-amz-version-id")
            tagging = (("x-amz-tagging", "=".join(TAG)),) if key == TAGGED else ()
            self.put(key, content(self.name, key), *tagging)
        return self

    def put(self, key: str, body: bytes, *headers: Pair) -> Reply:
        """Writes an encrypted object."""
        return self.do("PUT", f"/{key}", body, *_ENCRYPTED, *headers)

    def allow_and_deny(self, *statements: dict[str, object], at_gateway: bool = False) -> None:
        """Puts a policy."""
        self.do("PUT", "?policy", policy(*statements).encode(), at_gateway=at_gateway)

    def offer(self, *statements: dict[str, object]) -> bool:
        """Puts a policy where the gateway takes it."""
        request = Request(f"/{self.name}?policy", "PUT", (), policy(*statements).encode())
        answer = self.sides.gate.ask(signed(request, ADMIN, self.sides.host))
        assert answer.status in (204, 400), f"PUT {request.target}: {answer.status} {answer.body!r}"
        return answer.status == 204

    def forget_policy(self, *, at_gateway: bool = False) -> None:
        """Takes the policy away."""
        self.do("DELETE", "?policy", at_gateway=at_gateway)

    def statement(self, effect: str, what: str = "*", **more: object) -> dict[str, object]:
        """A statement on reading `what` in here, of everybody unless `more` says otherwise."""
        return {
            "Effect": effect,
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{self.name}/{what}",
            **more,
        }

    def get(self, key: str = PUBLIC, query: str = "", *headers: Pair) -> Request:
        """A GET that nobody has signed yet."""
        return Request(f"/{self.name}/{key}{query}", headers=headers)

    def by(self, who: Identity, key: str = PUBLIC, query: str = "", *headers: Pair) -> Request:
        """A GET that somebody signs."""
        return signed(self.get(key, query, *headers), who, self.sides.host)

    def do(self, method: str, rest: str, body: bytes = b"", *headers: Pair, at_gateway: bool = False) -> Reply:
        """What the administrator does to it, by tidegate unless `at_gateway`; AssertionError where that fails."""
        line = self.sides.gateway if at_gateway else self.sides.gate
        request = Request(f"/{self.name}{rest}", method, headers, body)
        answer = line.ask(signed(request, ADMIN, self.sides.host))
        assert answer.status in (200, 204), f"{method} {request.target}: {answer.status} {answer.body!r}"
        return answer


MakeBucket = Callable[..., Bucket]
