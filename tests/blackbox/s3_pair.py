"""Requests by S3 to tidegate and to the gateway behind it, answered by both."""

import re
from collections.abc import Iterable, Iterator

from catalogue import CUSTOMER_KEY, CUSTOMER_KEY_2
from harness import Answer, Front, Tidegate
from harness.signed import Ask

MIB = 1 << 20
OWN_TO_EACH_ANSWER = {"date", "x-amz-request-id", "connection", "keep-alive"}
KEY = CUSTOMER_KEY.headers()
OTHER_KEY = CUSTOMER_KEY_2.headers()
PAST, FUTURE = "Mon, 05 Jan 2015 00:00:00 GMT", "Thu, 01 Jan 2099 00:00:00 GMT"

def comparable(answer: Answer, base: str) -> tuple[int, dict[str, str], bytes]:
    """What must be the same."""
    headers = {name: value for name, value in answer.lower().items() if name not in OWN_TO_EACH_ANSWER}
    body = answer.body
    if headers.get("content-type") == "application/xml":
        body = re.sub(rb"<RequestId>[0-9A-F]+</RequestId>", b"<RequestId/>", body)
    return answer.status, headers, body.replace(base.removeprefix("http://").encode(), b"HOST")


def difference(ask: Ask, gate: Tidegate, front: Front) -> str | None:
    """What differs between the two answers to one request."""
    mine = comparable(ask.of(gate.s3_url), gate.s3_url)
    wanted = comparable(ask.of(front.gateway.url), front.gateway.url)
    if mine == wanted:
        return None
    headers = {
        name: (mine[1].get(name), wanted[1].get(name))
        for name in mine[1].keys() | wanted[1].keys()
        if mine[1].get(name) != wanted[1].get(name)
    }
    bodies = "same body" if mine[2] == wanted[2] else f"{len(mine[2])} bytes for {len(wanted[2])}"
    who = "signed" if ask.signer else "unsigned"
    asked = f"{ask.method} {ask.path} {who} {dict(ask.headers)} {dict(ask.unsigned)}"
    return f"{asked}: {mine[0]} for {wanted[0]}, {bodies}, headers (tidegate, gateway): {headers}"


def differences(gate: Tidegate, front: Front, asked: Iterable[Ask]) -> str:
    """All that differs, a line for each request. Empty: nothing."""
    found = [difference(ask, gate, front) for ask in asked]
    assert found
    return "\n".join(each for each in found if each)


RANGES = ["0-0", "5-300", "-7", f"{MIB - 5}-{MIB + 5}", "70-", "0-99999999", "99999999-", "-0", "-99999999", "5-2"]
RANGES += ["0-1,3-4", "x"]


def requests(path: str, key: dict[str, str], etag: str) -> Iterator[Ask]:
    """All that is asked of one object."""

    def both(headers: dict[str, str], query: str = "") -> Iterator[Ask]:
        for method in ("GET", "HEAD"):
            yield Ask(path + query, method, {**key, **headers})

    yield from both({})
    for text in RANGES:
        yield from both({"Range": f"bytes={text}"})
    yield from both({"Range": "items=0-1"})
    for name, values in {
        "If-Match": [etag, '"other"', "*", f'"other", {etag}'],
        "If-None-Match": [etag, '"other"', "*"],
        "If-Modified-Since": [PAST, FUTURE, "x"],
        "If-Unmodified-Since": [PAST, FUTURE],
    }.items():
        for value in values:
            yield from both({name: value})
    yield from both({"If-Match": etag, "Range": "bytes=5-300"})
    yield from both({"If-Match": '"other"', "Range": "bytes=5-300"})
    yield from both({"If-Range": etag, "Range": "bytes=5-300"})
    for mode in ("ENABLED", "enabled", "on"):
        yield from both({"x-amz-checksum-mode": mode})
    yield from both({"x-amz-checksum-mode": "ENABLED", "Range": "bytes=5-300"})
    yield from both({"Origin": "https://elsewhere.example"})
    yield from both({"Accept-Encoding": "gzip"})
    for query in (
        "?versionId=null",
        "?versionId=0123456789abcdef0123456789abcdef",
        "?partNumber=1",
        "?partNumber=2",
        "?partNumber=9",
        "?partNumber=0",
        "?x-id=GetObject",
        "?unknown=1",
        "?response-content-type=x%2Fy&response-cache-control=no-store&response-expires=never",
        "?response-content-disposition=inline&response-content-language=fr&response-content-encoding=none",
        "?response-content-type=",
        "?tagging",
        "?acl",
        "?versionId=",
        "?versionId=null&versionId=null",
    ):
        yield from both({}, query)
    # With another key, with half of one, and with none.
    for headers in ({}, OTHER_KEY, KEY, {**KEY, list(KEY)[2]: OTHER_KEY[list(KEY)[2]]}, {list(KEY)[0]: "AES256"}):
        yield Ask(path, "GET", headers)
        yield Ask(path, "GET", {**headers, "Range": "bytes=5-300"})
        yield Ask(path, "GET", {**headers, "If-None-Match": etag})
    # Who signs nothing, or not the range.
    yield Ask(path, signer=None, unsigned=key)
    yield Ask(path, signer=None, unsigned={**key, "Range": "bytes=5-300"})
    yield Ask(path + "?response-content-type=x", signer=None, unsigned=key)
    yield Ask(path, headers=key, unsigned={"Range": "bytes=5-300"})
    yield Ask(path, headers=key, unsigned={"If-Match": etag})
    yield Ask(path, headers=key, unsigned={"X-Amz-Checksum-Mode": "ENABLED"})


