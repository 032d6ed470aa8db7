"""Who may: bucket policies and ACLs, each with one who may read and one who may not. Both sides answer the same."""

import time
from collections.abc import Iterator

import pytest

from bucket import PRIVATE, PUBLIC, SIZE, TAG, TAGGED, Bucket, content
from harness import Front
from harness.line import Pair, Request
from harness.sigv import presigned, signed
from people import ADMIN, LIMITED, NOBODY, READER, Identity, session
from sides import Sides

ELSEWHERE = "127.0.0.5"
"""An address that the gateway does not believe."""


def allowed(bucket: Bucket, request: Request, key: str = PUBLIC) -> None:
    """Both give the object."""
    answer = bucket.sides.answer(request)
    assert (answer.status, answer.body) == (200, content(bucket.name, key)), answer.body[:300]


def refused(bucket: Bucket, request: Request) -> None:
    """Both refuse, whole, in part, and when asked whether it has changed."""
    assert bucket.sides.status(request) == 403
    for header in (("Range", "bytes=0-0"), ("Range", f"bytes={SIZE - 1}-"), ("If-None-Match", '"other"'), ("If-Match", "*")):
        if not request.first("Authorization"):
            assert bucket.sides.status(request.having(*header)) == 403


def test_allow_all(bucket: Bucket) -> None:
    refused(bucket, bucket.get())
    refused(bucket, bucket.by(NOBODY))
    bucket.allow_and_deny(bucket.statement("Allow"))
    allowed(bucket, bucket.get())
    allowed(bucket, bucket.by(NOBODY))
    bucket.forget_policy()
    refused(bucket, bucket.get())
    refused(bucket, bucket.by(NOBODY))


def test_deny_all(bucket: Bucket) -> None:
    allowed(bucket, bucket.by(READER))
    bucket.allow_and_deny(bucket.statement("Deny"))
    for who in (READER, ADMIN, NOBODY):
        refused(bucket, bucket.by(who))
        refused(bucket, presigned(bucket.get(), who, bucket.sides.host))
    bucket.forget_policy()
    allowed(bucket, bucket.by(READER))


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_principal(bucket: Bucket, effect: str) -> None:
    named = NOBODY if effect == "Allow" else READER
    principal = {"AWS": f"arn:aws:iam::000000000000:user/{named.name}"}
    bucket.allow_and_deny(bucket.statement(effect, Principal=principal))
    if effect == "Allow":
        allowed(bucket, bucket.by(NOBODY))
        refused(bucket, bucket.by(LIMITED))
        refused(bucket, bucket.get())
    else:
        refused(bucket, bucket.by(READER))
        allowed(bucket, bucket.by(ADMIN))


def test_session_as_principal(bucket: Bucket, front: Front) -> None:
    someone = session(front.gateway.url, READER)
    refused(bucket, bucket.by(someone))
    bucket.allow_and_deny(bucket.statement("Allow"))
    open_to_all = bucket.sides.status(bucket.by(someone))
    bucket.allow_and_deny(bucket.statement("Allow"), bucket.statement("Deny", PRIVATE))
    assert bucket.sides.status(bucket.by(someone)) == open_to_all
    refused(bucket, bucket.by(someone, PRIVATE))


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_prefix(bucket: Bucket, effect: str) -> None:
    bucket.allow_and_deny(bucket.statement(effect, "public/*" if effect == "Allow" else "private/*"))
    who = NOBODY if effect == "Allow" else READER
    allowed(bucket, bucket.by(who))
    refused(bucket, bucket.by(who, PRIVATE))
    refused(bucket, bucket.by(who, "private/none"))


CONDITIONS: list[tuple[str, dict[str, object], tuple[Pair, ...], tuple[Pair, ...]]] = [
    # name, condition, headers with which it holds, headers with which it does not
    ("referer", {"StringLike": {"aws:Referer": "https://harbour.example/*"}}, (("Referer", "https://harbour.example/a"),), ()),
    ("no-referer", {"Null": {"aws:Referer": "true"}}, (), (("Referer", "https://harbour.example/a"),)),
    ("agent", {"StringLike": {"aws:UserAgent": "boat/*"}}, (("User-Agent", "boat/1"),), (("User-Agent", "car/1"),)),
    ("no-agent", {"Null": {"aws:UserAgent": "true"}}, (), (("User-Agent", "boat/1"),)),
    ("transport", {"Bool": {"aws:SecureTransport": "false"}}, (), ()),
    ("method", {"StringEquals": {"s3:RequestMethod": "GET"}}, (), ()),
    ("amz-header", {"StringEquals": {"s3:x-amz-meta-pass": "word"}}, (("x-amz-meta-pass", "word"),), (("x-amz-meta-pass", "x"),)),
    ("no-amz-header", {"Null": {"s3:x-amz-checksum-mode": "true"}}, (), (("x-amz-checksum-mode", "ENABLED"),)),
]  # fmt: skip


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
@pytest.mark.parametrize(("condition", "holds", "fails"), [row[1:] for row in CONDITIONS], ids=[row[0] for row in CONDITIONS])
def test_condition(
    bucket: Bucket, effect: str, condition: dict[str, object], holds: tuple[Pair, ...], fails: tuple[Pair, ...]
) -> None:
    """What a condition looks at arrives as the client sent it, and nothing is added that it would see."""
    bucket.allow_and_deny(bucket.statement(effect, Condition=condition))
    who = NOBODY if effect == "Allow" else READER
    statuses = [200, 403] if effect == "Allow" else [403, 200]
    assert bucket.sides.status(bucket.by(who, PUBLIC, "", *holds)) == statuses[0]
    if effect == "Allow":
        allowed(bucket, bucket.get(PUBLIC, "", *holds))
    if holds != fails:
        assert bucket.sides.status(bucket.by(who, PUBLIC, "", *fails)) == statuses[1]
        if effect == "Allow":
            refused(bucket, bucket.get(PUBLIC, "", *fails))


def test_secure_transport_demanded(bucket: Bucket) -> None:
    demanded = {"Bool": {"aws:SecureTransport": "true"}}
    bucket.allow_and_deny(bucket.statement("Allow", Condition=demanded))
    for header in ((), (("X-Forwarded-Proto", "https"),), (("Forwarded", "proto=https"),)):
        refused(bucket, bucket.get(PUBLIC, "", *header))
    bucket.allow_and_deny(bucket.statement("Deny", Condition={"Bool": {"aws:SecureTransport": "false"}}))
    refused(bucket, bucket.by(READER))
    refused(bucket, bucket.by(READER, PUBLIC, "", ("X-Forwarded-Proto", "https")))


@pytest.fixture
def elsewhere(sides: Sides) -> Iterator[Sides]:
    """Both sides, asked from an address that the gateway has no reason to believe."""
    both = Sides(sides.gateway.address, sides.gate.address, source=ELSEWHERE)
    yield both
    both.close()


CLAIMED: list[tuple[Pair, ...]] = [
    (),
    (("X-Forwarded-For", "203.0.113.7"),),
    (("X-Forwarded-For", f"203.0.113.7, {ELSEWHERE}"),),
    (("X-Forwarded-For", f"{ELSEWHERE}, 203.0.113.7"),),
    (("X-Forwarded-For", "127.0.0.1"),),
    (("X-Forwarded-For", ""),),
    (("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-For", "127.0.0.1")),
    (("X-Forwarded-For", "garbage"),),
    (("x-forwarded-for", "::1"),),
    (("X-Real-Ip", "203.0.113.7"),),
    (("X-Real-Ip", ELSEWHERE),),
    (("Forwarded", f"for={ELSEWHERE}"),),
    (("X-Forwarded-For", "203.0.113.7"), ("Connection", "X-Forwarded-For")),
]


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_address(bucket: Bucket, elsewhere: Sides, effect: str) -> None:
    """The address that counts is the client's, whatever the client says of it."""
    sides = bucket.sides
    bucket.allow_and_deny(bucket.statement(effect, Condition={"IpAddress": {"aws:SourceIp": f"{ELSEWHERE}/32"}}))
    who = NOBODY if effect == "Allow" else READER
    inside, outside = (200, 403) if effect == "Allow" else (403, 200)
    for claimed in CLAIMED:
        assert elsewhere.status(bucket.by(who, PUBLIC, "", *claimed)) == inside, claimed
        loose = signed(bucket.get(PUBLIC, "", *claimed), who, sides.host, unsigned=[name for name, _ in claimed])
        assert elsewhere.status(loose) == inside, claimed
    assert sides.status(bucket.by(who)) == outside
    # From 127.0.0.1, which the gateway believes, a claim counts, as it does without tidegate.
    for claimed in CLAIMED:
        sides.status(bucket.by(who, PUBLIC, "", *claimed))


def test_address_claimed(bucket: Bucket, elsewhere: Sides) -> None:
    """Nobody talks his way into a network."""
    bucket.allow_and_deny(bucket.statement("Allow", Condition={"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}))
    for claimed in CLAIMED:
        assert elsewhere.status(bucket.get(PUBLIC, "", *claimed)) == 403, claimed
    bucket.allow_and_deny(bucket.statement("Allow", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.1/32"}}))
    for claimed in CLAIMED:
        assert elsewhere.status(bucket.get(PUBLIC, "", *claimed)) == 403, claimed
    assert bucket.sides.status(bucket.get()) == 200


def tag_is(operator: str = "StringEquals", value: str = TAG[1]) -> dict[str, object]:
    """A condition on the object's tag."""
    return {operator: {f"s3:ExistingObjectTag/{TAG[0]}": value}}


def test_tag_denied(bucket: Bucket) -> None:
    """The gateway looks at tags only after the conditions of the request."""
    allowed(bucket, bucket.by(READER, TAGGED), TAGGED)
    bucket.allow_and_deny(bucket.statement("Allow"), bucket.statement("Deny", Condition=tag_is()))
    for request in (bucket.get(TAGGED), bucket.by(READER, TAGGED), bucket.by(ADMIN, TAGGED)):
        assert bucket.sides.status(request) == 403
    for ranged in (bucket.get(TAGGED, "", ("Range", "bytes=0-0")), bucket.by(READER, TAGGED, "", ("Range", "bytes=1-"))):
        assert bucket.sides.status(ranged) == 403
    for sign in (signed, presigned):
        held = sign(bucket.get(TAGGED, "", ("If-Match", "*")), READER, bucket.sides.host)
        assert bucket.sides.status(held) == 403
    for untagged in (bucket.get(), bucket.by(READER), bucket.by(NOBODY)):
        allowed(bucket, untagged)


def test_tag_demanded(bucket: Bucket) -> None:
    """To 4.48 an object has no tags at first, so nobody has those that are demanded."""
    bucket.allow_and_deny(bucket.statement("Allow"), bucket.statement("Deny", Condition=tag_is("StringNotEquals")))
    assert [bucket.sides.status(bucket.get(key)) for key in (PUBLIC, TAGGED)] == [403, 403]
    bucket.allow_and_deny(bucket.statement("Allow", Condition=tag_is()))
    assert {bucket.sides.status(bucket.by(who, TAGGED)) for who in (NOBODY, LIMITED)} == {403}
    allowed(bucket, bucket.by(READER, TAGGED), TAGGED)


def test_tag_changed(bucket: Bucket) -> None:
    """A tag that is put on and taken off again by tidegate counts for the next request."""
    bucket.allow_and_deny(bucket.statement("Allow"), bucket.statement("Deny", Condition=tag_is()))
    tagging = f"<Tagging><TagSet><Tag><Key>{TAG[0]}</Key><Value>{TAG[1]}</Value></Tag></TagSet></Tagging>"
    for _ in range(5):
        allowed(bucket, bucket.get())
        bucket.do("PUT", f"/{PUBLIC}?tagging", tagging.encode())
        assert bucket.sides.status(bucket.get()) == 403
        bucket.do("DELETE", f"/{PUBLIC}?tagging")


def test_version_action(versioned: Bucket) -> None:
    """`s3:GetObjectVersion` is of a version that is named, `s3:GetObject` of the latest."""
    bucket = versioned
    named = f"?versionId={bucket.versions[PUBLIC]}"
    older = content(bucket.name, f"{PUBLIC} first")
    for action, latest, version in (("s3:GetObject", 200, 403), ("s3:GetObjectVersion", 403, 200), ("s3:Get*", 200, 200)):
        bucket.allow_and_deny(bucket.statement("Allow", Action=action))
        assert bucket.sides.status(bucket.get()) == latest
        answer = bucket.sides.answer(bucket.get(PUBLIC, named))
        assert answer.status == version
        assert version == 403 or answer.body == older
        bucket.allow_and_deny(bucket.statement("Deny", Action=action))
        assert bucket.sides.status(bucket.by(READER)) == (403 if latest == 200 else 200)
        assert bucket.sides.status(bucket.by(READER, PUBLIC, named)) == (403 if version == 200 else 200)


def test_tag_of_a_version(versioned: Bucket) -> None:
    """The tag that counts is that of the version that is read."""
    bucket = versioned
    first = f"?versionId={bucket.versions[TAGGED]}"
    bucket.allow_and_deny(
        bucket.statement("Allow", Action="s3:Get*"), bucket.statement("Deny", Action="s3:Get*", Condition=tag_is())
    )
    assert bucket.sides.status(bucket.get(TAGGED)) == 403
    assert bucket.sides.status(bucket.get(TAGGED, first)) == 200


def acl(value: str) -> Pair:
    return ("x-amz-acl", value)


def test_public_acl(bucket: Bucket) -> None:
    """What is public by ACL may be read by all, until a policy denies it."""
    refused(bucket, bucket.get())
    bucket.do("PUT", "?ownershipControls", OWNERSHIP)
    bucket.do("PUT", "?acl", b"", acl("public-read"))
    allowed(bucket, bucket.get())
    allowed(bucket, bucket.get(PRIVATE), PRIVATE)
    bucket.allow_and_deny(bucket.statement("Deny", "private/*"))
    refused(bucket, bucket.get(PRIVATE))
    allowed(bucket, bucket.get())
    bucket.allow_and_deny(bucket.statement("Deny", Condition=tag_is()))
    assert bucket.sides.status(bucket.get(TAGGED)) == 403
    assert bucket.sides.status(bucket.get(TAGGED, "", ("Range", "bytes=0-0"))) == 403
    allowed(bucket, bucket.get())
    bucket.allow_and_deny(bucket.statement("Deny", Principal={"AWS": "arn:aws:iam::000000000000:user/reader"}))
    refused(bucket, bucket.by(READER))
    allowed(bucket, bucket.get())
    bucket.forget_policy()
    bucket.do("PUT", "?acl", b"", acl("private"))
    refused(bucket, bucket.get())


OWNERSHIP = (
    b"<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>"
)


def test_acl_of_an_object(bucket: Bucket) -> None:
    bucket.do("PUT", "?ownershipControls", OWNERSHIP)
    bucket.put("public/by-acl", b"x" * SIZE, acl("public-read"))
    bucket.sides.status(bucket.get("public/by-acl"))  # 4.48 refuses, others may not
    bucket.do("PUT", "/public/by-acl?acl", b"", acl("private"))
    assert bucket.sides.status(bucket.get("public/by-acl")) == 403


def test_public_access_blocked(bucket: Bucket) -> None:
    bucket.allow_and_deny(bucket.statement("Allow"))
    allowed(bucket, bucket.get())
    block = "".join(
        f"<{name}>true</{name}>"
        for name in ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    )
    answer = bucket.sides.gate.ask(
        signed(
            Request(f"/{bucket.name}?publicAccessBlock", "PUT", (), f"<PublicAccessBlockConfiguration>{block}</PublicAccessBlockConfiguration>".encode()),
            ADMIN,
            bucket.sides.host,
        )
    )
    assert answer.status in (200, 501)  # 4.48 does not know it
    bucket.sides.status(bucket.get())


@pytest.mark.parametrize("condition", [None, tag_is()], ids=["everything", "by-tag"])
def test_policy_put_and_read_right_after(bucket: Bucket, condition: dict[str, object] | None) -> None:
    """A policy that went through tidegate counts for the next request, both when it comes and when it goes."""
    more = {"Condition": condition} if condition else {}
    for _ in range(10):
        bucket.allow_and_deny(bucket.statement("Deny", **more))
        assert bucket.sides.gate.ask(bucket.by(READER, TAGGED)).status == 403
        bucket.forget_policy()
        assert bucket.sides.gate.ask(bucket.by(READER, TAGGED)).status == 200


def test_policy_put_at_the_gateway(bucket: Bucket) -> None:
    """One that did not go through tidegate counts at once, by the gateway's word; of tags, when the filer's word has come."""
    for _ in range(10):
        bucket.allow_and_deny(bucket.statement("Deny"), at_gateway=True)
        assert bucket.sides.status(bucket.by(READER, TAGGED)) == 403
        bucket.forget_policy(at_gateway=True)
        assert bucket.sides.status(bucket.by(READER, TAGGED)) == 200
        bucket.allow_and_deny(bucket.statement("Deny", Condition=tag_is()), at_gateway=True)
        until = time.monotonic() + 2.0
        while bucket.sides.gate.ask(bucket.by(READER, TAGGED)).status != 403:
            assert time.monotonic() < until, "a policy put elsewhere is not seen after two seconds"
        bucket.forget_policy(at_gateway=True)
        until = time.monotonic() + 2.0
        while bucket.sides.gate.ask(bucket.by(READER, TAGGED)).status != 200:
            assert time.monotonic() < until, "a policy taken away elsewhere is still heeded after two seconds"


def test_bucket_made_again(sides: Sides) -> None:
    """A bucket with a policy, deleted, and made anew without one, and the other way round."""
    bucket = Bucket(sides, "again")
    for number in range(3):
        bucket.create()
        assert sides.status(bucket.by(READER, TAGGED)) == 200
        bucket.allow_and_deny(bucket.statement("Deny", Condition=tag_is()))
        assert sides.status(bucket.by(READER, TAGGED)) == 403
        bucket.forget_policy()
        assert sides.status(bucket.by(READER, TAGGED)) == 200
        for key in (PUBLIC, PRIVATE, TAGGED):
            bucket.do("DELETE", f"/{key}")
        bucket.do("DELETE", "")
        assert sides.status(bucket.by(READER, TAGGED)) == 404


def test_one_connection_many_rights(bucket: Bucket) -> None:
    """On one connection those who may and those who may not take turns, and no answer is another's."""
    bucket.allow_and_deny(bucket.statement("Allow", "public/*"), bucket.statement("Deny", Condition=tag_is()))
    people: list[Identity | None] = [READER, NOBODY, None]
    for number in range(30):
        who, key = people[number % 3], (PUBLIC, PRIVATE, TAGGED)[number % 7 % 3]
        request = bucket.get(key) if who is None else bucket.by(who, key)
        expected = 403 if key == TAGGED or (key == PRIVATE and who is not READER) else 200
        answer = bucket.sides.answer(request)
        assert answer.status == expected and (expected == 403 or answer.body == content(bucket.name, key))
