"""Who one is: every way to say it, each with one who may read and one who may not. Both sides answer the same."""

import time
from dataclasses import replace

import pytest

from bucket import PRIVATE, PUBLIC, Bucket, content
from harness import Front
from harness.line import Request
from harness.sigv import Identity, presigned, presigned_v2, signed, signed_v2
from issuer import Issuer
from people import ADMIN, LIMITED, NOBODY, READER, STRANGER, Guest, session
from sides import Sides

HOUR = 3600.0


def allowed(sides: Sides, request: Request, key: str = PUBLIC) -> None:
    """Both give the object."""
    answer = sides.answer(request)
    assert (answer.status, answer.body) == (200, content("cases", key)), answer.body[:300]


def refused(sides: Sides, request: Request, code: str = "AccessDenied") -> None:
    """Both refuse, for this reason."""
    answer = sides.answer(request)
    assert answer.status == 403 and f"<Code>{code}</Code>".encode() in answer.body, (answer.status, answer.body[:300])


def test_header(cases: Bucket, sides: Sides) -> None:
    for who in (ADMIN, READER, LIMITED):
        allowed(sides, cases.by(who))
    allowed(sides, cases.by(READER, PRIVATE), PRIVATE)
    refused(sides, cases.by(LIMITED, PRIVATE))
    refused(sides, cases.by(NOBODY))
    refused(sides, cases.by(STRANGER), "InvalidAccessKeyId")
    refused(sides, cases.by(replace(READER, secret_key="guessed")), "SignatureDoesNotMatch")


def test_header_of_another_request(cases: Bucket, sides: Sides) -> None:
    """A signature is of one path, query and set of headers."""
    mine = cases.by(LIMITED)
    refused(sides, replace(mine, target=cases.get(PRIVATE).target), "SignatureDoesNotMatch")
    refused(sides, replace(mine, target=mine.target + "?versionId=null"), "SignatureDoesNotMatch")
    refused(sides, mine.having("Host", "cases.s3.example.org"), "SignatureDoesNotMatch")
    ranged = cases.by(LIMITED, PUBLIC, "", ("Range", "bytes=0-0"))
    assert sides.answer(ranged).body == content("cases", PUBLIC)[:1]
    refused(sides, ranged.having("Range", "bytes=0-1"), "SignatureDoesNotMatch")
    refused(sides, ranged.without("Range"), "SignatureDoesNotMatch")


def test_presigned(cases: Bucket, sides: Sides) -> None:
    for who in (ADMIN, READER, LIMITED):
        allowed(sides, presigned(cases.get(), who, sides.host))
    refused(sides, presigned(cases.get(PRIVATE), LIMITED, sides.host))
    refused(sides, presigned(cases.get(), NOBODY, sides.host))
    refused(sides, presigned(cases.get(), STRANGER, sides.host), "InvalidAccessKeyId")
    mine = presigned(cases.get(), LIMITED, sides.host)
    refused(sides, replace(mine, target=mine.target.replace(PUBLIC, PRIVATE)), "SignatureDoesNotMatch")
    refused(sides, replace(mine, target=mine.target + "&versionId=null"), "SignatureDoesNotMatch")
    refused(sides, replace(mine, target=mine.target.replace("Expires=600", "Expires=6000")), "SignatureDoesNotMatch")


def test_presigned_answers_with_other_headers(cases: Bucket, sides: Sides) -> None:
    """`response-*` is part of what was signed."""
    other = "response-content-type=text%2Fx-other"
    answer = sides.answer(presigned(cases.get(PUBLIC, f"?{other}"), LIMITED, sides.host))
    assert (answer.status, answer.header("content-type")) == (200, "text/x-other")
    mine = presigned(cases.get(), LIMITED, sides.host)
    refused(sides, replace(mine, target=f"{mine.target}&{other}"), "SignatureDoesNotMatch")


def test_expired(cases: Bucket, sides: Sides) -> None:
    now = time.time()
    allowed(sides, presigned(cases.get(), READER, sides.host, at=now - 60, expires=600))
    refused(sides, presigned(cases.get(), READER, sides.host, at=now - 60, expires=59))
    allowed(sides, cases.by(READER))
    refused(sides, signed(cases.get(), READER, sides.host, at=now - HOUR), "RequestTimeTooSkewed")
    allowed(sides, presigned_v2(cases.get(), READER, sides.host, expires=60))
    refused(sides, presigned_v2(cases.get(), READER, sides.host, at=now - 600, expires=60))


def test_expires_while_it_is_in_use(cases: Bucket, sides: Sides) -> None:
    """Nothing of an earlier decision is kept."""
    request = presigned(cases.get(), READER, sides.host, expires=2)
    until = time.monotonic() + 10
    allowed(sides, request)
    while sides.gate.ask(request).status == 200:
        assert time.monotonic() < until, "a URL of two seconds is still good"
    refused(sides, request)


def test_version_2(cases: Bucket, sides: Sides) -> None:
    for sign in (signed_v2, presigned_v2):
        allowed(sides, sign(cases.get(), READER, sides.host))
        allowed(sides, sign(cases.get(), LIMITED, sides.host))
        refused(sides, sign(cases.get(PRIVATE), LIMITED, sides.host))
        refused(sides, sign(cases.get(), NOBODY, sides.host))
        wrong = replace(READER, secret_key="guessed")
        refused(sides, sign(cases.get(), wrong, sides.host), "SignatureDoesNotMatch")


@pytest.mark.parametrize("sign", [signed, presigned])
def test_session(cases: Bucket, sides: Sides, front: Front, sign) -> None:
    mine = session(front.gateway.url, READER)
    allowed(sides, sign(cases.get(), mine, sides.host))
    refused(sides, sign(cases.get(PRIVATE), mine, sides.host))
    other = session(front.gateway.url, READER)
    without = sides.status(sign(cases.get(), replace(mine, token=""), sides.host))
    mixed = sides.status(sign(cases.get(), replace(mine, token=other.token), sides.host))
    torn = sides.status(sign(cases.get(), replace(mine, token=mine.token[:-3]), sides.host))
    assert (without, mixed, torn) == (403, 403, 403)


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


def test_bearer(cases: Bucket, sides: Sides, issuer: Issuer) -> None:
    """A token of an OpenID issuer, which puts its bearer into a role."""
    token = issuer.token("skipper")
    allowed(sides, cases.get(PUBLIC, "", bearer(token)))
    refused(sides, cases.get(PRIVATE, "", bearer(token)))
    for bad in (token[:-3], issuer.token("skipper", lives=-60), issuer.token("skipper", audience="others"), "x" * 40, ""):
        refused(sides, cases.get(PUBLIC, "", bearer(bad)))
    refused(sides, cases.get(PUBLIC, "", bearer(Issuer().token("skipper"))))


def test_bearer_whose_time_is_up(cases: Bucket, sides: Sides, issuer: Issuer) -> None:
    request = cases.get(PUBLIC, "", bearer(issuer.token("skipper", lives=2)))
    until = time.monotonic() + 15
    allowed(sides, request)
    while sides.gate.ask(request).status == 200:
        assert time.monotonic() < until, "a token of two seconds is still good"
    refused(sides, request)


def test_session_without_a_signature(cases: Bucket, sides: Sides, front: Front) -> None:
    """A session's token as a bearer's, and what the gateway itself sets inside."""
    token = session(front.gateway.url, READER).token
    refused(sides, cases.get(PUBLIC, "", bearer(token)))
    inside = (("X-SeaweedFS-Principal", "arn:aws:iam::000000000000:user/admin"), ("X-SeaweedFS-Session-Token", token))
    refused(sides, cases.get(PUBLIC, "", *inside))
    refused(sides, cases.by(NOBODY, PUBLIC, "", *inside), "SignatureDoesNotMatch")  # taken out before it is looked at
    loose = signed(cases.get(PRIVATE, "", *inside), LIMITED, sides.host, unsigned=[name for name, _ in inside])
    refused(sides, loose)


def test_nobody_said(cases: Bucket, sides: Sides) -> None:
    refused(sides, cases.get())
    refused(sides, cases.get("public/none"))
    refused(sides, cases.get(PUBLIC, "", ("If-None-Match", "*")))
    refused(sides, cases.get(PUBLIC, "", ("Range", "bytes=0-0")))
    refused(sides, cases.get(PUBLIC, "", ("Authorization", "")))
    for broken in ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=x", "AWS reader-access", "Basic cmVhZGVyOng="):
        assert sides.status(cases.get(PUBLIC, "", ("Authorization", broken))) in (400, 403)


def test_two_signatures(cases: Bucket, sides: Sides) -> None:
    """One in the header and one in the URL, and one header twice."""
    good, bad = cases.by(READER), cases.by(NOBODY)
    for one, other in ((good, bad), (bad, good)):
        twice = replace(one, headers=(*one.headers, ("Authorization", other.first("Authorization"))))
        sides.status(twice)
        sides.status(presigned(one, LIMITED, sides.host))


def test_key_revoked(cases: Bucket, sides: Sides, front: Front) -> None:
    guest = Guest(front.gateway.url, "guest")
    until = time.monotonic() + 10
    while sides.gateway.ask(cases.by(guest.identity)).status != 200:
        assert time.monotonic() < until, "the gateway does not know its new user"
    url = presigned(cases.get(), guest.identity, sides.host)
    allowed(sides, cases.by(guest.identity))
    allowed(sides, url)
    guest.revoke()
    until = time.monotonic() + 10
    while sides.gateway.ask(cases.by(guest.identity)).status == 200:
        assert time.monotonic() < until, "the gateway does not forget the key"
    refused(sides, cases.by(guest.identity), "InvalidAccessKeyId")
    refused(sides, url, "InvalidAccessKeyId")


# Headers that a front may add to what it sends on.
ADDED = [
    ("If-None-Match", "*"),
    ("Range", "bytes=0-0"),
    ("X-Forwarded-For", "127.0.0.1"),
    ("X-Real-Ip", "127.0.0.1"),
    ("X-Forwarded-Proto", "http"),
    ("Forwarded", "for=127.0.0.1"),
    ("Via", "1.1 tidegate"),
    ("Connection", "keep-alive"),
    ("Accept", "*/*"),
    ("Accept-Encoding", "identity"),
    ("User-Agent", "tidegate"),
    ("Content-Length", "0"),
    ("Te", "trailers"),
]


@pytest.mark.parametrize(("name", "value"), ADDED, ids=[name for name, _ in ADDED])
@pytest.mark.parametrize("sign", [signed, presigned])
def test_header_that_is_signed_and_not_sent(cases: Bucket, sides: Sides, sign, name: str, value: str) -> None:
    """A URL that requires a header does not become good because somebody on the way adds it."""
    without = sign(cases.get(), READER, sides.host, also_signed={name: value})
    if name != "Content-Length":  # the gateway takes an absent one as 0
        assert sides.status(without) == 403
    else:
        sides.status(without)
    sides.status(without.having("If-None-Match", '"other"'))
    sides.status(without.having("Range", "bytes=5-6"))
    sides.status(without.having("X-Forwarded-For", "10.1.1.1"))


@pytest.mark.parametrize("name", ["If-None-Match", "Range", "X-Forwarded-For", "If-Match", "User-Agent"])
def test_header_that_is_signed_and_sent(cases: Bucket, sides: Sides, name: str) -> None:
    """It arrives as it was signed."""
    values = {"If-None-Match": '"other"', "Range": "bytes=2-9", "If-Match": "*"}
    value = values.get(name, "203.0.113.9")
    for request in (
        presigned(cases.get(PUBLIC, "", (name, value)), READER, sides.host, also_signed={name: value}),
        cases.by(READER, PUBLIC, "", (name, value)),
    ):
        assert sides.status(request) in (200, 206)
        assert sides.status(request.having(name, value + "0")) == 403
    assert sides.status(presigned(cases.get(PUBLIC, "", (name, value)), READER, sides.host)) in (200, 206)


def test_range_signed_and_unsigned(cases: Bucket, sides: Sides) -> None:
    body = content("cases", PUBLIC)
    ranged = cases.get(PUBLIC, "", ("Range", "bytes=1000-1999"))
    for request in (
        signed(ranged, LIMITED, sides.host),
        signed(ranged, LIMITED, sides.host, unsigned=["Range"]),
        presigned(ranged, LIMITED, sides.host),
        presigned(ranged, LIMITED, sides.host, also_signed={"Range": "bytes=1000-1999"}),
        presigned_v2(ranged, LIMITED, sides.host),
    ):
        answer = sides.answer(request)
        assert (answer.status, answer.body) == (206, body[1000:2000])
        refused_one = replace(request, target=request.target.replace(PUBLIC, PRIVATE))
        assert sides.status(refused_one) == 403
    for sign in (signed, presigned):
        assert sides.status(sign(ranged, NOBODY, sides.host)) == 403


def test_unsigned_amz_header(cases: Bucket, sides: Sides) -> None:
    """Whoever has a URL adds no `x-amz-` header to it."""
    url = presigned(cases.get(), READER, sides.host)
    allowed(sides, url)
    for name, value in (("x-amz-checksum-mode", "ENABLED"), ("x-amz-meta-a", "b"), ("x-amz-security-token", "t")):
        sides.status(url.having(name, value))
        loose = signed(cases.get(PUBLIC, "", (name, value)), READER, sides.host, unsigned=[name])
        sides.status(loose)


def test_other_methods(cases: Bucket, sides: Sides) -> None:
    """A signature for GET is none for another method, and what else asks for an object is judged as before."""
    for method in ("HEAD", "OPTIONS", "POST", "TRACE", "PATCH", "get"):
        sides.status(replace(cases.by(READER), method=method))
        sides.status(replace(presigned(cases.get(), READER, sides.host), method=method))
        sides.status(signed(replace(cases.get(), method=method), READER, sides.host))
    for query in ("?acl", "?tagging", "?retention", "?legal-hold", "?attributes", "?torrent", "?uploads", "?policy"):
        sides.status(cases.by(LIMITED, PUBLIC, query))
        sides.status(cases.by(NOBODY, PUBLIC, query))
        sides.status(cases.get(PUBLIC, query))


def test_body_on_a_get(cases: Bucket, sides: Sides) -> None:
    with_body = replace(cases.get(), body=b"a body that means nothing")
    allowed(sides, signed(with_body, READER, sides.host))
    refused(sides, signed(with_body, NOBODY, sides.host))


def test_identities_are_not_mixed_up(cases: Bucket, sides: Sides) -> None:
    """One connection, many askers in turn."""
    people: list[Identity] = [READER, NOBODY, LIMITED, STRANGER] * 10
    answers = [sides.status(cases.by(who, PRIVATE)) for who in people]
    assert answers == [200, 403, 403, 403] * 10
