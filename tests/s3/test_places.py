"""Which object a request means: hosts, paths and queries that two readers may read differently. Both sides agree."""

from dataclasses import replace
from urllib.parse import quote

import pytest

from bucket import PRIVATE, PUBLIC, SIZE, TAGGED, Bucket, content
from harness import wire
from harness.line import Request
from harness.sigv import presigned, signed
from people import DOMAIN, LIMITED, READER
from sides import Sides


@pytest.fixture(scope="module")
def open_bucket(sides: Sides) -> Bucket:
    """All may read what begins with `public/`. It has objects whose keys look like other buckets' paths."""
    made = Bucket(sides, "open").create()
    for key in ("cases/public/a", "cases/private/a", "public/a%2Fb", "public/with space+plus", "public/a.versions/b", "public/é"):
        made.put(quote(key), content("open", key))
    made.allow_and_deny(made.statement("Allow", "public/*"))
    return made


HOSTS = [
    "open.s3.example.org", "cases.s3.example.org", "s3.example.org", "other.example.org", "open.other.example.org",
    "open.s3.example.org.", "OPEN.s3.example.org", "open.S3.EXAMPLE.ORG", "open.s3.example.org:80", "open.s3.example.org:8333",
    ".s3.example.org", "a.b.s3.example.org", "open.s3.example.org.evil.example", "evils3.example.org", "localhost", "127.0.0.1",
    "[::1]", "[::1]:8333", "1.2.3.4:99", "0x7f.1", "2130706433", "open", "open@cases.s3.example.org", "",
]  # fmt: skip
PLACES = ["/public/a", "/private/a", "/open/public/a", "/open/private/a", "/cases/public/a", "/cases/private/a", "/"]


@pytest.mark.parametrize("host", HOSTS)
def test_hosts(open_bucket: Bucket, cases: Bucket, sides: Sides, host: str) -> None:
    """The bucket is in the host only where that is the gateway's domain; elsewhere it is in the path."""
    for place in PLACES:
        bare = Request(place, headers=(("Host", host),))
        asked = [bare, signed(bare, READER, host), signed(bare, LIMITED, host), presigned(bare, LIMITED, host)]
        for request in asked:
            sides.status(request)


def test_host_of_another_bucket(open_bucket: Bucket, cases: Bucket, sides: Sides) -> None:
    """`Host: other` with the path of a victim: the path is a key of the host's bucket, or the other way round."""
    virtual = signed(Request("/cases/private/a", headers=(("Host", f"open.{DOMAIN}"),)), READER, f"open.{DOMAIN}")
    assert sides.answer(virtual).body == content("open", "cases/private/a")
    by_path = signed(Request("/cases/private/a", headers=(("Host", "open.other.org"),)), READER, "open.other.org")
    assert sides.answer(by_path).body == content("cases", PRIVATE)
    refused = signed(Request("/cases/private/a", headers=(("Host", "open.other.org"),)), LIMITED, "open.other.org")
    assert sides.status(refused) == 403
    anonymous = Request("/cases/public/a", headers=(("Host", f"open.{DOMAIN}"),))
    assert sides.status(anonymous) == 403  # `cases/` in `open` is not public
    assert sides.status(replace(anonymous, target="/public/a")) == 200


HEADERS = [
    ("X-Forwarded-Host", "cases.s3.example.org"), ("X-Forwarded-Host", "open.s3.example.org"), ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Proto", "https"), ("X-Forwarded-Prefix", "/cases"), ("X-Original-URL", "/cases/private/a"),
    ("X-Rewrite-URL", "/cases/private/a"), ("Forwarded", "host=cases.s3.example.org;proto=https"), ("Host", "cases.s3.example.org"),
    ("X-HTTP-Method-Override", "DELETE"), ("Connection", "X-Forwarded-Host, Range, Host"), ("Connection", "Authorization"),
    ("Connection", "close"), ("Upgrade", "h2c"), ("Expect", "100-continue"), ("Expect", "something"), ("Max-Forwards", "0"),
    ("Transfer-Encoding", "identity"), ("Content-Length", "0"), ("Proxy-Authorization", "Basic eA=="), ("TE", "trailers"),
    ("Destination", "/cases/private/a"), ("x-amz-copy-source", "/cases/private/a"), ("X-Amz-Copy-Source-Range", "bytes=0-1"),
    ("x-amz-expected-bucket-owner", "someone"), ("x-amz-request-payer", "requester"), ("Cookie", "a=b"), ("Depth", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), HEADERS, ids=[f"{name}: {value}" for name, value in HEADERS])
def test_headers_that_would_change_the_place(
    open_bucket: Bucket, cases: Bucket, sides: Sides, name: str, value: str
) -> None:
    # Not answered on the spot, or ended with the connection: what counts is that nothing else comes back.
    for place in ("/open/public/a", "/open/private/a", "/cases/public/a"):
        bare = Request(place, headers=((name, value),))
        asked = [bare, signed(Request(place), LIMITED, sides.host), presigned(bare, LIMITED, sides.host)]
        asked[1] = replace(asked[1], headers=(*asked[1].headers, (name, value)))
        for request in asked:
            sides.status(request)


PATHS = [
    "/open//public/a", "//open/public/a", "/open/./public/a", "/open/public/../private/a", "/open/public/%2e%2e/private/a",
    "/open/public/..%2fprivate/a", "/open/public%2Fa", "/open%2Fpublic/a", "/%6fpen/public/a", "/open/%70ublic/a",
    "/open/public/a/", "/open/public/a%00", "/open/public/a%0a", "/open/public/a%20", "/open/public/a%7f", "/open/public%5Ca",
    "/open/public\\a", "/open/public/a%252Fb", "/open/public/a%2Fb", "/open/public/with%20space%2Bplus",
    "/open/public/with+space%2Bplus", "/open/public/with%20space+plus", "/open/public/é", "/open/public/%C3%A9",
    "/open/public/%c3%a9", "/open/public/e%CC%81", "/open/public/%E9", "/open/public/a;x=1", "/open/public/a#private",
    "/open/public/a?", "/open/public/a?&", "/open/public/a??", "/open/public/a?;versionId=null", "/open/public/a?a;b",
    "/open/public/a?versionId=null;x=1", "/open/public/a?versionId=null&versionId=x", "/open/public/a?VERSIONID=null",
    "/open/public/a?version%49d=x", "/open/public/a?%76ersionId=x", "/open/public/a?versionId", "/open/public/a?partNumber=1",
    "/open/public/a?partNumber=1&versionId=null", "/open/public/a?x-amz-acl=public-read", "/open/public/a?%zz", "/open/public/%zz",
    "/open/public/a%", "/open/public/.versions/a", "/open/public/a.versions", "/open/public/a.versions/", "/open/public/a.versions/b",
    "/open/.uploads/x/0001.part", "/open/.uploads", "/open/public/a.versions/v_null", "/open/public/", "/open/public", "/open/", "/open",
    "/.system/x", "/buckets/open/public/a", "/open/../cases/private/a", "/open/public/../../cases/private/a", "/open/%2e%2e/cases/private/a",
    "/open/public/a/../a", "/open/public/.", "/open/public/..", "/open/public/~", "/open/public/a%3FversionId=null", "/open/public/a%23",
    "/etc/iam/identity.json", "/open/public/a%u0041", "/OPEN/public/a", "/open/PUBLIC/a", "*", "open/public/a", "/open/public/\u00a0",
    "/open/public/a?X-Amz-Algorithm=AWS4-HMAC-SHA256", "/open/public/a?X-Amz-Signature=0", "/open/public/a?AWSAccessKeyId=x",
    "/open/public/a?response-content-type=x", "/open/public/a?Signature=x&Expires=1&AWSAccessKeyId=reader-access",
    "/open/public/a?X-Amz-SignedHeaders=host", "/open/public/a?x-id=GetObject", "/open/public/a?jwt=x", "/open/public/a?dl=true",
    "/open/public/a?metadata=true", "/open/public/a?tagging=", "/open/public/a?acl=", "/open/public/a?legal-hold", "/open/public/a?list-type=2",
    "/healthz", "/status", "/metrics", "/readyz", "/minio/health/live", "/favicon.ico", "/?proxyChunkId=3,01637037d6",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_paths(open_bucket: Bucket, sides: Sides, path: str) -> None:
    """Spelled in any way, an object is what the gateway takes it for, to everybody."""
    for headers in ((), (("Range", "bytes=0-9"),)):
        bare = Request(path, headers=headers)
        sides.status(bare)
        sides.status(signed(bare, READER, sides.host))
        sides.status(signed(bare, LIMITED, sides.host))


def test_each_spelling_is_its_own_object(open_bucket: Bucket, sides: Sides) -> None:
    """What the list above compares is there to be read."""
    assert sides.answer(Request("/open/public/a")).body == content("open", PUBLIC)
    assert sides.answer(Request("/open/public/a%252Fb")).body == content("open", "public/a%2Fb")
    assert sides.answer(Request("/open/public/with%20space%2Bplus")).body == content("open", "public/with space+plus")
    assert sides.answer(Request("/open/public/%C3%A9")).body == content("open", "public/é")


LINES = [
    "GET http://open.s3.example.org/public/a HTTP/1.1\r\nHost: cases.s3.example.org\r\n\r\n",
    "GET http://cases.s3.example.org/public/a HTTP/1.1\r\nHost: open.s3.example.org\r\n\r\n",
    "GET http://cases.s3.example.org/private/a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "GET http://x/open/public/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET https://x/open/public/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /open/public/a HTTP/1.0\r\n\r\n",
    "GET /open/public/a HTTP/1.1\r\n\r\n",
    "GET /open/public/a HTTP/1.1\r\nHost: a\r\nHost: open.s3.example.org\r\n\r\n",
    "GET /public/a HTTP/1.1\r\nHost: open.s3.example.org\r\nHost: a\r\n\r\n",
    "GET /public/a HTTP/1.1\r\nHost: open.s3.example.org, a\r\n\r\n",
    "GET /open/private/a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /open/public/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "GET /open/public/a HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\nRange: bytes=5-6\r\n\r\n",
    "GET /open/public/a HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"a\"\r\nIf-None-Match: *\r\n\r\n",
    "GET /open/public/a HTTP/1.1\r\nHost: x\r\nIf-Match: \"a\"\r\nIf-Match: *\r\n\r\n",
    "CONNECT open.s3.example.org:80 HTTP/1.1\r\nHost: x\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("sent", LINES, ids=[line.split("\r\n\r\n")[0].replace("\r\n", " | ") for line in LINES])
def test_request_lines(open_bucket: Bucket, cases: Bucket, sides: Sides, sent: str) -> None:
    """Requests that no client library sends. Neither side gives more than the other; a refusal may be in other words."""
    closing = sent.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).encode()
    gateway, gate = (wire.exchange(line.address, closing) for line in (sides.gateway, sides.gate))
    statuses = [int((answer.split(b" ", 2) + [b"0"])[1] or 0) for answer in (gateway, gate)]
    bodies = [answer.partition(b"\r\n\r\n")[2] for answer in (gateway, gate)]
    assert (statuses[0] < 300) == (statuses[1] < 300), statuses
    if statuses[0] < 300:
        assert bodies[0] == bodies[1] and statuses[0] == statuses[1]


def test_tagged_and_other_objects_differ() -> None:
    """Bytes tell where they are from, or the comparisons would show nothing."""
    made = {content(bucket, key) for bucket in ("open", "cases") for key in (PUBLIC, PRIVATE, TAGGED)}
    assert len(made) == 6 and all(len(body) == SIZE for body in made)
