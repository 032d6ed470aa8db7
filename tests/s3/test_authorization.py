"""Who may read what: each case allowed and refused, through tidegate as at the gateway by itself."""

import json

import boto3
import pytest
from harness import Encryption
from harness.s3 import S3

from asks import Ask, Signing
from people import ADMIN, DOMAIN, FORGER, NO_DOMAIN, NOBODY, READER, STRANGER, Person
from shelf import KEY, OTHER_KEY, Thing, allow, deny, principal, set_policy, shelf
from sides import Sides

SIGNINGS = [signing for signing in Signing if signing is not Signing.NONE]


@pytest.fixture(scope="module", autouse=True)
def things(sides: Sides) -> dict[Encryption, Thing]:
    """Objects that the reader may read by its identity, one of every encryption."""
    sides.front.s3.create_bucket("objects")
    found = {thing.encryption: thing for thing in shelf("objects", ["mine"])}
    for thing in found.values():
        thing.put(sides.front)
    return found


@pytest.fixture(scope="module", autouse=True)
def ruled(sides: Sides) -> list[Thing]:
    """Objects in a bucket that is read by policies only: some have the tag `class=open`, some `class=closed`."""
    sides.front.s3.create_bucket("ruled")
    found = shelf("ruled", ["open"], "class=open&n=1") + shelf("ruled", ["closed"], "class=closed&n=2")
    for thing in found:
        thing.put(sides.front)
    return found


@pytest.fixture(params=["at the gateway", "through tidegate"])
def manager(sides: Sides, request: pytest.FixtureRequest):
    """Who sets policies, by either way. They are taken away afterwards."""
    url = sides.front.gateway.url if request.param == "at the gateway" else sides.gate.s3_url
    client = S3(url).client
    yield client
    set_policy(client, "ruled")


def statuses(sides: Sides, things: list[Thing], *people, **more) -> dict[tuple[str, str], int]:
    """What everybody gets of each, the same on both sides."""
    found = {}
    for thing in things:
        for who in people:
            signed = {**thing.headers, **more.get("signed", {})}
            ask = Ask(thing.target, who, signed=signed, added=more.get("added", {}))
            found[who.name if who else "anyone", thing.key] = sides.same(ask).status
    return found


@pytest.mark.parametrize("encryption", list(Encryption), ids=lambda e: e.title)
@pytest.mark.parametrize("signing", SIGNINGS, ids=lambda s: s.value)
def test_a_signature(sides: Sides, things: dict[Encryption, Thing], signing: Signing, encryption: Encryption) -> None:
    thing = things[encryption]
    before = sides.served()
    answer = sides.same(Ask(thing.target, READER, signing, signed=thing.headers))
    assert (answer.status, answer.body) == (200, thing.payload.bytes())
    # Version 2 presigns `x-amz-*` headers by putting them into the query, which only the gateway reads so.
    is_ours = (signing, encryption) != (Signing.OLD_PRESIGNED, Encryption.SSE_C)
    assert sides.served() == before + is_ours
    for who in (NOBODY, FORGER, STRANGER):
        assert sides.same(Ask(thing.target, who, signing, signed=thing.headers)).status == 403
    assert sides.served() == before + is_ours


def test_nobody_reads_what_is_for_some(sides: Sides, things: dict[Encryption, Thing]) -> None:
    for thing in things.values():
        assert sides.same(Ask(thing.target, signed=thing.headers)).status == 403


@pytest.mark.parametrize("signing", [Signing.PRESIGNED, Signing.OLD_PRESIGNED], ids=lambda s: s.value)
def test_an_expired_url(sides: Sides, things: dict[Encryption, Thing], signing: Signing) -> None:
    thing = things[Encryption.SSE_S3]
    assert sides.same(Ask(thing.target, READER, signing, expires=60)).status == 200
    # Version 4 has no time in the past; one that is over at once has.
    expires = -60 if signing is Signing.OLD_PRESIGNED else 0
    assert sides.same(Ask(thing.target, READER, signing, expires=expires)).status in (400, 403)


@pytest.mark.parametrize("signing", [Signing.HEADER, Signing.PRESIGNED], ids=lambda s: s.value)
@pytest.mark.parametrize(
    ("name", "value"),
    [("If-None-Match", "*"), ("If-None-Match", '"a"'), ("Range", "bytes=0-0"), ("X-Forwarded-For", "192.0.2.1")],
)
def test_a_header_that_is_signed_and_not_sent(
    sides: Sides, things: dict[Encryption, Thing], signing: Signing, name: str, value: str
) -> None:
    """tidegate would add two of them to its question and one to every request: that must not make it valid."""
    thing = things[Encryption.SSE_S3]
    theirs, ours = sides.both(Ask(thing.target, READER, signing, withheld={name: value}))
    assert (theirs.status, ours.status) == (403, 403)


@pytest.mark.parametrize("encryption", list(Encryption), ids=lambda e: e.title)
@pytest.mark.parametrize("where", ["signed", "added"])
def test_a_range(sides: Sides, things: dict[Encryption, Thing], encryption: Encryption, where: str) -> None:
    thing = things[encryption]
    headers = {"signed": dict(thing.headers), "added": {}}
    headers[where]["Range"] = "bytes=10-99"
    answer = sides.same(Ask(thing.target, READER, signed=headers["signed"], added=headers["added"]))
    assert (answer.status, answer.body) == (206, thing.payload.range(10, 100))
    assert sides.same(Ask(thing.target, NOBODY, signed=headers["signed"], added=headers["added"])).status == 403


def test_a_customers_key(sides: Sides, things: dict[Encryption, Thing]) -> None:
    thing, other = things[Encryption.SSE_C], things[Encryption.SSE_S3]
    assert sides.same(Ask(thing.target, READER, signed=KEY.headers())).body == thing.payload.bytes()
    assert sides.same(Ask(thing.target, READER)).status == 400
    assert sides.same(Ask(thing.target, READER, signed=OTHER_KEY.headers())).status in (400, 403)
    sides.same(Ask(other.target, READER, signed=KEY.headers()))
    assert sides.same(Ask(thing.target, NOBODY, signed=KEY.headers())).status == 403


def test_a_policy_for_all(sides: Sides, ruled: list[Thing], manager) -> None:
    assert set(statuses(sides, ruled, None, READER, NOBODY).values()) == {403}
    set_policy(manager, "ruled", allow("ruled"))
    assert set(statuses(sides, ruled, None, READER, NOBODY).values()) == {200}
    set_policy(manager, "ruled", allow("ruled"), deny("ruled", who=principal("nobody")))
    seen = statuses(sides, ruled, None, READER, NOBODY)
    assert {status for (who, _), status in seen.items() if who == "nobody"} == {403}
    assert {status for (who, _), status in seen.items() if who != "nobody"} == {200}
    set_policy(manager, "ruled")
    assert set(statuses(sides, ruled, None, READER, NOBODY).values()) == {403}


def test_a_policy_for_one_and_for_a_prefix(sides: Sides, ruled: list[Thing], manager) -> None:
    set_policy(manager, "ruled", allow("ruled", "open/", principal("nobody")))
    seen = statuses(sides, ruled, None, READER, NOBODY)
    for (who, key), status in seen.items():
        assert status == (200 if who == "nobody" and key.startswith("open/") else 403), (who, key)


def test_a_policy_about_tags(sides: Sides, ruled: list[Thing], manager) -> None:
    """A 304 proves nothing of these: the first byte is asked for."""
    tagged = {"StringEquals": {"s3:ExistingObjectTag/class": "closed"}}
    set_policy(manager, "ruled", allow("ruled"), deny("ruled", **tagged))
    for (_, key), status in statuses(sides, ruled, None, READER, NOBODY, ADMIN).items():
        assert status == (403 if key.startswith("closed/") else 200), key
    asked = sides.gate.metrics().sum("tidegate_s3_decisions_total", way="206", outcome="answered")
    assert asked > 0


def test_a_policy_counts_from_the_very_next_request_on(sides: Sides, ruled: list[Thing]) -> None:
    """Put at the gateway, past tidegate: the filer's event about it comes some milliseconds later."""
    tagged = {"StringEquals": {"s3:ExistingObjectTag/class": "closed"}}
    client = sides.front.s3.client
    thing = next(thing for thing in ruled if thing.key == f"closed/{Encryption.SSE_S3.value}")
    try:
        for _ in range(60):
            set_policy(client, "ruled")
            # The bucket is known to have none.
            assert Ask(thing.target, ADMIN).send(sides.gate.s3_url).status == 200
            set_policy(client, "ruled", allow("ruled"), deny("ruled", **tagged))
            assert Ask(thing.target).send(sides.gate.s3_url).status == 403
    finally:
        set_policy(client, "ruled")


@pytest.mark.parametrize(
    ("condition", "header", "passes"),
    [
        ({"StringLike": {"aws:Referer": "http://ours/*"}}, {"Referer": "http://ours/page"}, True),
        ({"StringLike": {"aws:Referer": "http://ours/*"}}, {"Referer": "http://theirs/page"}, False),
        ({"StringLike": {"aws:Referer": "http://ours/*"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "true"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, True),
        ({"StringEquals": {"aws:UserAgent": "ours"}}, {"User-Agent": "ours"}, True),
        ({"Null": {"aws:UserAgent": "true"}}, {}, None),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.1/32"}}, {}, True),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"X-Real-IP": "10.0.0.1"}, False),
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"X-Forwarded-For": "10.0.0.1"}, False),
    ],
)
def test_a_condition(sides: Sides, ruled: list[Thing], condition, header, passes) -> None:
    client = sides.front.s3.client
    set_policy(client, "ruled", allow("ruled", **condition))
    try:
        seen = set(statuses(sides, ruled, None, NOBODY, added=header).values())
        if passes is not None:
            assert seen == ({200} if passes else {403})
    finally:
        set_policy(client, "ruled")


def test_an_acl_for_all_and_a_policy_against_it(sides: Sides) -> None:
    client = sides.front.s3.client
    client.create_bucket(Bucket="public", ACL="public-read")
    things = shelf("public", ["all"])
    for thing in things:
        thing.put(sides.front)
    before = set(statuses(sides, things, None, NOBODY).values())
    set_policy(client, "public", deny("public"))
    after = set(statuses(sides, things, None, NOBODY).values())
    assert after == {403}, before


@pytest.mark.parametrize("domain", [DOMAIN, NO_DOMAIN])
def test_a_host_that_names_a_bucket(sides: Sides, things: dict[Encryption, Thing], domain: str) -> None:
    """What the gateway takes for a path is none of ours to take for a bucket."""
    thing = things[Encryption.SSE_S3]
    before = sides.served()
    answer = sides.same(Ask(f"/{thing.key}", READER, host=f"objects.{domain}"))
    if domain == DOMAIN:
        assert (answer.status, answer.body) == (200, thing.payload.bytes())
        assert sides.served() == before + 1
    else:
        assert answer.status != 200
        assert sides.served() == before
    for host in (f"ruled.{domain}", f"objects.sub.{domain}", f"OBJECTS.{domain}", f"{domain}."):
        for target in (thing.target, f"/{thing.key}", f"/ruled/open/{thing.encryption.value}"):
            sides.same(Ask(target, READER, host=host))


@pytest.mark.parametrize(
    "target",
    [
        "/objects/../ruled/open/s3",
        "/objects/mine/../../ruled/open/s3",
        "/objects/%2e%2e/ruled/open/s3",
        "/objects/mine%2Fs3",
        "/objects//mine/s3",
        "/objects/mine\\s3",
        "/objects/mine/./s3",
        "/objects/%6dine/s3",
        "/objects/mine/s3/",
        "/objects/mine/s3?versionId=null",
        "/objects/mine/s3?versionId=null;x=1",
        "/objects/mine/s3;x",
        "/objects/mine/s3?partNumber=1",
        "/objects/mine/s3?acl",
        "/objects/mine/s3?response-content-type=a%2Fb",
        "/objects/mine/s3?X-Amz-Signature=a",
        "/objects/mine/s3?Signature=a&AWSAccessKeyId=reader-access&Expires=9999999999",
        "//objects/mine/s3",
        "/.system/x",
    ],
)
@pytest.mark.parametrize("who", [READER, NOBODY, None], ids=lambda who: who.name if who else "anyone")
def test_a_target_that_may_be_read_in_two_ways(sides: Sides, target: str, who) -> None:
    sides.same(Ask(target, who))


@pytest.mark.parametrize("name", ["X-SeaweedFS-Principal", "X-SeaweedFS-Session-Token", "X-Seaweedfs-Identity-Name"])
def test_nobody_names_himself_to_the_gateway(sides: Sides, things: dict[Encryption, Thing], name: str) -> None:
    thing = things[Encryption.SSE_S3]
    assert sides.same(Ask(thing.target, NOBODY, added={name: "admin"})).status == 403
    assert sides.same(Ask(thing.target, added={name: "admin"})).status == 403


def test_two_signatures(sides: Sides, things: dict[Encryption, Thing]) -> None:
    thing = things[Encryption.SSE_S3]
    presigned = Ask(thing.target, NOBODY, Signing.PRESIGNED).written(sides.front.gateway.url)[0]
    for who in (READER, NOBODY):
        theirs, ours = sides.both(Ask(presigned, who))
        assert (theirs.status == 200) >= (ours.status == 200)


def test_an_object_that_is_replaced_all_the_time(sides: Sides) -> None:
    """At the gateway, past tidegate: what is known of it is another version each time, and has another ETag."""
    sides.front.s3.create_bucket("changing")
    for round_ in range(60):
        body = bytes([round_]) * (2000 + round_ % 8)
        sides.front.s3.put("changing", "thing", body, ServerSideEncryption="AES256")
        answer = Ask("/changing/thing", ADMIN).send(sides.gate.s3_url)
        assert (answer.status, answer.body) == (200, body)


def test_an_object_is_not_taken_for_another_with_the_same_bytes(sides: Sides) -> None:
    """The reader may read the one, `objects/twin`. Of the other, `ruled/objects/twin`, a host that the gateway takes for
    no bucket would make the same ETag."""
    bytes_ = b"the same bytes" * 300
    sides.front.s3.put("objects", "twin", bytes_, ServerSideEncryption="AES256", Metadata={"whose": "the reader's"})
    sides.front.s3.put("ruled", "objects/twin", bytes_, ServerSideEncryption="AES256", Metadata={"whose": "somebody's"})
    before = sides.served()
    for host in (f"ruled.{NO_DOMAIN}", "ruled.example.org"):
        answer = sides.same(Ask("/objects/twin", READER, host=host))
        assert (answer.status, answer.header("X-Amz-Meta-Whose")) == (200, "the reader's"), host
    assert sides.served() == before
    assert sides.same(Ask("/objects/twin", READER, host=f"ruled.{DOMAIN}")).status == 403


def test_a_key_that_is_revoked(sides: Sides) -> None:
    """The gateway forgets it, and with it tidegate: there is no cache of decisions."""
    iam = boto3.client(
        "iam",
        endpoint_url=sides.front.gateway.url,
        region_name="us-east-1",
        aws_access_key_id=ADMIN.access_key,
        aws_secret_access_key=ADMIN.secret_key,
    )
    iam.create_user(UserName="guest")
    made = iam.create_access_key(UserName="guest")["AccessKey"]
    guest = Person("guest", made["AccessKeyId"], made["SecretAccessKey"])
    statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::objects/*"]}
    document = {"Version": "2012-10-17", "Statement": [statement]}
    iam.put_user_policy(UserName="guest", PolicyName="reads", PolicyDocument=json.dumps(document))
    target = f"/objects/mine/{Encryption.SSE_S3.value}"
    assert sides.same(Ask(target, guest)).status == 200
    iam.delete_access_key(UserName="guest", AccessKeyId=guest.access_key)
    assert sides.same(Ask(target, guest)).status == 403
