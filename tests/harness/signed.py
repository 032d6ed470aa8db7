"""Requests of S3 by hand: signed as a client says, with more headers that nobody signed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .s3 import ACCESS_KEY, SECRET_KEY
from .wire import Answer, request

REGION = "us-east-1"


@dataclass(frozen=True)
class Signer:
    """One who signs with version 4."""

    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    token: str | None = None

    def _credentials(self) -> Credentials:
        return Credentials(self.access_key, self.secret_key, self.token)

    def headers(self, method: str, url: str, headers: Mapping[str, str]) -> dict[str, str]:
        """`headers` and those of a signature of all of them."""
        made = AWSRequest(method=method, url=url, headers=dict(headers))
        made.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        S3SigV4Auth(self._credentials(), "s3", REGION).add_auth(made)
        return dict(made.headers.items())

    def url(self, method: str, url: str, headers: Mapping[str, str] | None = None, expires: int = 600) -> str:
        """`url` with a signature of it and of `headers`, which then must be sent."""
        made = AWSRequest(method=method, url=url, headers=dict(headers or {}))
        S3SigV4QueryAuth(self._credentials(), "s3", REGION, expires=expires).add_auth(made)
        return made.url


@dataclass(frozen=True)
class Ask:
    """A request, short of whom it is sent to."""

    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Signed, where anything is."""
    unsigned: Mapping[str, str] = field(default_factory=dict)
    signer: Signer | None = field(default_factory=Signer)
    """`None`: nobody."""

    def of(self, base: str) -> Answer:
        """What the server at `base` (a URL without a path) answers."""
        url = base + self.path
        headers = self.signer.headers(self.method, url, self.headers) if self.signer else dict(self.headers)
        return request(self.method, url, {**headers, **self.unsigned})
