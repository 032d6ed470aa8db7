"""Random policies, people and requests: no answer of tidegate gives a byte that the gateway by itself refuses.

`TIDEGATE_S3_SEED` and `TIDEGATE_S3_ROUNDS` ask for others, and for more.
"""

import os
import random
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError
from harness import Encryption

from asks import Ask, Signing
from people import ADMIN, DOMAIN, FORGER, NO_DOMAIN, NOBODY, READER, STRANGER
from shelf import KEY, Thing, principal, set_policy, shelf
from sides import Sides, difference

SEED = int(os.environ.get("TIDEGATE_S3_SEED", "1"))
ROUNDS = int(os.environ.get("TIDEGATE_S3_ROUNDS", "40"))
REQUESTS = 12

PEOPLE = [None, None, ADMIN, READER, READER, NOBODY, NOBODY, FORGER, STRANGER]
CONDITIONS = [
    {"StringEquals": {"s3:ExistingObjectTag/class": "open"}},
    {"StringEquals": {"s3:ExistingObjectTag/class": "closed"}},
    {"StringNotEquals": {"s3:ExistingObjectTag/class": "open"}},
    {"Null": {"s3:ExistingObjectTag/class": "true"}},
    {"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
    {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}},
    {"StringLike": {"aws:Referer": "http://ours/*"}},
    {"Null": {"aws:Referer": "true"}},
    {"Bool": {"aws:SecureTransport": "false"}},
    {"StringEquals": {"aws:UserAgent": "ours"}},
    {"Null": {"aws:UserAgent": "true"}},
    {"StringEquals": {"s3:VersionId": "null"}},
    {"StringLike": {"s3:x-amz-server-side-encryption": "*"}},
    {"DateLessThan": {"aws:CurrentTime": "2099-01-01T00:00:00Z"}},
]
BUCKET, VICTIM = "random", "random-victim"


@pytest.fixture(scope="module")
def things(sides: Sides) -> list[Thing]:
    """Objects of every encryption in two buckets; policies are about the first only."""
    found = []
    for bucket in (BUCKET, VICTIM):
        sides.front.s3.create_bucket(bucket)
        found += shelf(bucket, ["open"], "class=open") + shelf(bucket, ["closed"], "class=closed") + shelf(bucket, ["bare ü"])
    for thing in found:
        thing.put(sides.front)
    return found


def test_no_answer_gives_what_the_gateway_refuses(sides: Sides, things: list[Thing]) -> None:
    chance = random.Random(SEED)
    before, allowed, asked = sides.served(), 0, 0
    for number in range(ROUNDS):
        rules = [] if chance.random() < 0.15 else [statement(chance) for _ in range(chance.randint(1, 3))]
        try:
            set_policy(sides.front.s3.client, BUCKET, *rules)
        except ClientError:
            continue  # The gateway takes no such policy.
        for _ in range(REQUESTS):
            ask = request(chance, things)
            theirs, ours = sides.both(ask)
            if difference(theirs, ours):
                theirs, ours = sides.both(ask)
            told = f"round {number} of seed {SEED}: {ask} under {rules}"
            assert not (ours.status in (200, 206) and theirs.status not in (200, 206)), f"OPEN: {told}"
            assert not difference(theirs, ours), f"{difference(theirs, ours)}: {told}"
            allowed += theirs.status in (200, 206)
            asked += 1
    # It would prove nothing if all were refused, or all relayed.
    assert allowed > asked / 20
    assert sides.served() > before + asked / 40


def statement(chance: random.Random) -> dict[str, object]:
    """One rule."""
    rule: dict[str, object] = {
        "Effect": chance.choice(["Allow", "Allow", "Deny"]),
        "Principal": chance.choice(["*", {"AWS": "*"}, principal("reader"), principal("nobody")]),
        "Action": chance.choice(["s3:GetObject", "s3:*", "s3:Get*", "s3:GetObjectVersion", "s3:PutObject"]),
        "Resource": f"arn:aws:s3:::{BUCKET}/{chance.choice(['*', '*', 'open/*', 'closed/*', 'bare*', 'open/c'])}",
    }
    if chance.random() < 0.7:
        rule["Condition"] = chance.choice(CONDITIONS)
    return rule


def request(chance: random.Random, things: list[Thing]) -> Ask:
    """One GET, mostly plain."""
    thing, who = chance.choice(things), chance.choice(PEOPLE)
    host, target = place(chance, thing)
    query = chance.choice([""] * 20 + ["versionId=null", "response-content-type=a%2Fb", "x-id=GetObject", "x=1", "partNumber=1", "acl"])
    headers = {}
    is_customers = thing.encryption is Encryption.SSE_C
    if chance.random() < (0.95 if is_customers else 0.04):
        headers |= KEY.headers()
    if chance.random() < 0.4:
        headers["Referer"] = chance.choice(["http://ours/1", "http://theirs/1"])
    if chance.random() < 0.3:
        headers["User-Agent"] = "ours"
    if chance.random() < 0.4:
        headers["Range"] = chance.choice(["bytes=0-9", "bytes=5-", "bytes=-3"])
    is_signed = {name: name.lower().startswith("x-amz-") or chance.random() < 0.4 for name in headers}
    added = {name: value for name, value in headers.items() if not is_signed[name]}
    if chance.random() < 0.15:
        name = chance.choice(["X-SeaweedFS-Principal", "If-None-Match", "If-Match", "X-Forwarded-For", "X-Real-IP", "X-Forwarded-Host"])
        added[name] = chance.choice(["admin", "*", '"a"', "10.0.0.1"])
    withheld = {}
    if chance.random() < 0.06:
        withheld = chance.choice([{"If-None-Match": "*"}, {"Range": "bytes=0-0"}])
        added = {name: value for name, value in added.items() if name not in withheld}
    signed = {name: value for name, value in headers.items() if is_signed[name] and name not in withheld}
    signing = chance.choice([Signing.HEADER, Signing.HEADER, Signing.PRESIGNED, Signing.OLD_HEADER, Signing.OLD_PRESIGNED])
    return Ask(target + (f"?{query}" if query else ""), who, signing, host, signed, added, withheld)


def place(chance: random.Random, thing: Thing) -> tuple[str | None, str]:
    """Where the object is, or what somebody may hope to be taken for it."""
    bucket, key = thing.bucket, quote(thing.key)
    if chance.random() < 0.8:
        return None, f"/{bucket}/{key}"
    return chance.choice(
        [
            (None, f"/{bucket}/open/../{key}"),
            (None, f"/{BUCKET}/../{VICTIM}/{key}"),
            (None, f"/{bucket}//{key}"),
            (None, f"/{bucket}/{key.replace('/', '%2F')}"),
            (None, f"/{bucket}/{key.replace('/', chr(92))}"),
            (None, f"/{bucket}/./{key}"),
            (None, f"/{bucket}/%{ord(key[0]):02x}{key[1:]}"),
            (f"{bucket}.{DOMAIN}", f"/{key}"),
            (f"{bucket}.{DOMAIN}", f"/{VICTIM}/{key}"),
            (f"{bucket}.{NO_DOMAIN}", f"/{VICTIM}/{key}"),
            (f"{bucket}.{NO_DOMAIN}", f"/{key}"),
            (f"{bucket}.x.{DOMAIN}", f"/{VICTIM}/{key}"),
            (DOMAIN, f"/{bucket}/{key}"),
        ]
    )
