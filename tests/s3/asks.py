"""One GET as a client would send it: signed in one of the ways of S3, with headers that are signed and some that are not."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import Answer

from people import Person


class Signing(Enum):
    """Where the signature stands, and of which version it is."""

    NONE = "none"
    HEADER = "header of version 4"
    PRESIGNED = "presigned by version 4"
    OLD_HEADER = "header of version 2"
    OLD_PRESIGNED = "presigned by version 2"


@dataclass(frozen=True)
class Ask:
    """A request for `target` (path and query, escaped)."""

    target: str
    who: Person | None = None
    signing: Signing = Signing.HEADER
    host: str | None = None
    # Sent, and signed where the signature covers headers.
    signed: Mapping[str, str] = field(default_factory=dict)
    # Sent, and added after signing.
    added: Mapping[str, str] = field(default_factory=dict)
    # Signed, and not sent.
    withheld: Mapping[str, str] = field(default_factory=dict)
    method: str = "GET"
    expires: int = 300
    token: str | None = None

    def send(self, endpoint: str) -> Answer:
        """Sends it to `endpoint` and reads the answer whole."""
        target, headers = self.written(endpoint)
        parts = urlsplit(endpoint)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        try:
            connection.putrequest(self.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def written(self, endpoint: str) -> tuple[str, list[tuple[str, str]]]:
        """Target and headers as they go to that endpoint."""
        host = self.host or urlsplit(endpoint).netloc
        rest = [*self.added.items()]
        if self.who is None or self.signing is Signing.NONE:
            return self.target, [("Host", host), *self.signed.items(), *rest]
        request = AWSRequest(method=self.method, url=endpoint + self.target)
        for name, value in {"Host": host, **self.signed, **self.withheld}.items():
            request.headers[name] = value
        self._sign(request)
        target = request.url[len(endpoint) :]
        if self.signing in (Signing.PRESIGNED, Signing.OLD_PRESIGNED):
            return target, [("Host", host), *self.signed.items(), *rest]
        sent = [(name, value) for name, value in request.headers.items() if name not in self.withheld]
        return self.target, [*sent, *rest]

    def _sign(self, request: AWSRequest) -> None:
        assert self.who is not None
        credentials = Credentials(self.who.access_key, self.who.secret_key, self.token)
        match self.signing:
            case Signing.HEADER:
                request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
                S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
            case Signing.PRESIGNED:
                S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=self.expires).add_auth(request)
            case Signing.OLD_HEADER:
                HmacV1Auth(credentials).add_auth(request)
            case Signing.OLD_PRESIGNED:
                HmacV1QueryAuth(credentials, expires=self.expires).add_auth(request)
            case Signing.NONE:
                pass
