"""Signatures of S3 requests, version 4 and 2, in the header and in the URL, with every header signed or not as a test wants.

An SDK signs what it likes. Here a test says what is signed, what is sent, and what is sent beside it.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from urllib.parse import quote, unquote

from .line import Request

REGION = "us-east-1"
UNSIGNED = "UNSIGNED-PAYLOAD"

# The keys of a query that are part of a version 2 signature.
_V2_QUERY = {
    "acl", "cors", "delete", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment",
    "response-cache-control", "response-content-disposition", "response-content-encoding", "response-content-language",
    "response-content-type", "response-expires", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning",
    "versions", "website",
}  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """Who asks. `token` is that of a session."""

    name: str
    access_key: str
    secret_key: str
    token: str = ""


ANONYMOUS = Identity("anonymous", "", "")


def signed(
    request: Request,
    who: Identity,
    host: str,
    *,
    unsigned: Iterable[str] = (),
    also_signed: Mapping[str, str] | None = None,
    at: float | None = None,
    payload: str = UNSIGNED,
) -> Request:
    """The request with an Authorization header of version 4 over all of its headers but `unsigned`.

    `also_signed` are headers that the signature covers and the request does not carry. `at` is in seconds since 1970.
    """
    stamp = _stamp(at)
    request = request.having("Host", host).having("X-Amz-Date", stamp).having("X-Amz-Content-Sha256", payload)
    if who.token:
        request = request.having("X-Amz-Security-Token", who.token)
    left_out = {name.lower() for name in unsigned}
    covered = {name.lower(): value for name, value in (also_signed or {}).items()}
    sent = {name.lower() for name, _ in request.headers} - left_out
    covered.update({name: ",".join(request.all(name)) for name in sent})
    signature = _signature(request, who, covered, stamp, payload, _split(request.target)[1])
    names = ";".join(sorted(covered))
    credential = f"{who.access_key}/{_scope(stamp)}"
    value = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return request.having("Authorization", value)


def presigned(
    request: Request,
    who: Identity,
    host: str,
    *,
    also_signed: Mapping[str, str] | None = None,
    at: float | None = None,
    expires: int = 600,
) -> Request:
    """The request with a signature of version 4 in its URL, which covers the Host and `also_signed`. The headers of
    `request` are sent beside it, unsigned unless they are named there too."""
    stamp = _stamp(at)
    request = request.having("Host", host)
    covered = {"host": host, **{name.lower(): value for name, value in (also_signed or {}).items()}}
    path, query = _split(request.target)
    query += [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Credential", f"{who.access_key}/{_scope(stamp)}"),
        ("X-Amz-Date", stamp),
        ("X-Amz-Expires", str(expires)),
        *([("X-Amz-Security-Token", who.token)] if who.token else []),
        ("X-Amz-SignedHeaders", ";".join(sorted(covered))),
    ]
    signature = _signature(request, who, covered, stamp, UNSIGNED, query)
    return replace(request, target=f"{path}?{_query([*query, ('X-Amz-Signature', signature)])}")


def signed_v2(request: Request, who: Identity, host: str, *, at: float | None = None) -> Request:
    """The request with an Authorization header of version 2. It covers the date and the `x-amz-` headers, not the Host."""
    date = _instant(at).strftime("%a, %d %b %Y %H:%M:%S GMT")
    request = request.having("Host", host).having("Date", date)
    return request.having("Authorization", f"AWS {who.access_key}:{_v2(request, who, date)}")


def presigned_v2(request: Request, who: Identity, host: str, *, at: float | None = None, expires: int = 600) -> Request:
    """The request with a signature of version 2 in its URL."""
    request = request.having("Host", host)
    until = str(int(_instant(at).timestamp()) + expires)
    signature = _v2(request, who, until)
    path, query = _split(request.target)
    query += [("AWSAccessKeyId", who.access_key), ("Expires", until), ("Signature", signature)]
    return replace(request, target=f"{path}?{_query(query)}")


def _instant(at: float | None) -> datetime:
    return datetime.now(timezone.utc) if at is None else datetime.fromtimestamp(at, timezone.utc)


def _stamp(at: float | None) -> str:
    return _instant(at).strftime("%Y%m%dT%H%M%SZ")


def _scope(stamp: str) -> str:
    return f"{stamp[:8]}/{REGION}/s3/aws4_request"


def _split(target: str) -> tuple[str, list[tuple[str, str]]]:
    """Path, and the pairs of the query, decoded."""
    path, _, query = target.partition("?")
    pairs = [piece.partition("=") for piece in query.split("&") if piece]
    return path, [(unquote(name), unquote(value)) for name, _, value in pairs]


def _query(pairs: list[tuple[str, str]]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _signature(
    request: Request, who: Identity, covered: Mapping[str, str], stamp: str, payload: str, query: list[tuple[str, str]]
) -> str:
    path = quote(unquote(_split(request.target)[0]), safe="/-_.~")
    headers = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in sorted(covered.items()))
    canonical = "\n".join([request.method, path, _query(sorted(query)), headers, ";".join(sorted(covered)), payload])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{who.secret_key}".encode()
    for piece in _scope(stamp).split("/"):
        key = _hmac(key, piece)
    return _hmac(key, "\n".join(["AWS4-HMAC-SHA256", stamp, _scope(stamp), digest])).hex()


def _v2(request: Request, who: Identity, date: str) -> str:
    path, query = _split(request.target)
    amz = sorted((name.lower(), value) for name, value in request.headers if name.lower().startswith("x-amz-"))
    counted = [f"{name}={value}" if value else name for name, value in sorted(query) if name in _V2_QUERY]
    resource = path + ("?" + "&".join(counted) if counted else "")
    lines = [request.method, request.first("Content-MD5"), request.first("Content-Type"), date]
    text = "\n".join(lines) + "\n" + "".join(f"{name}:{value}\n" for name, value in amz) + resource
    return base64.b64encode(hmac.new(who.secret_key.encode(), text.encode(), hashlib.sha1).digest()).decode()
