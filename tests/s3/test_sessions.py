"""People who read with a session of STS: its token is the gateway's to judge, for every request."""

import boto3
import pytest
from botocore.config import Config
from harness import Encryption

from asks import Ask, Signing
from people import ADMIN, READER, Person
from shelf import Thing, allow, put_mine_and_theirs, set_policy, shelf
from sides import Sides

BUCKET = "sessions"
BOTH = pytest.mark.parametrize("signing", [Signing.HEADER, Signing.PRESIGNED], ids=lambda s: s.value)


@pytest.fixture(scope="module")
def mine(sides: Sides) -> list[Thing]:
    """What the session may read, of every encryption."""
    found = put_mine_and_theirs(sides.front, BUCKET)
    guest = {"AWS": "arn:aws:sts::000000000000:federated-user/guest"}
    set_policy(sides.front.s3.client, BUCKET, allow(BUCKET, "mine/", guest))
    return found


@pytest.fixture(scope="module")
def theirs(mine: list[Thing]) -> list[Thing]:
    """What it may not."""
    return shelf(BUCKET, ["theirs"])


def session(endpoint: str, name: str = "guest") -> tuple[Person, str]:
    """Somebody with a session under that name, and his token."""
    sts = boto3.client(
        "sts",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ADMIN.access_key,
        aws_secret_access_key=ADMIN.secret_key,
        config=Config(retries={"max_attempts": 1}),
    )
    given = sts.get_federation_token(Name=name)["Credentials"]
    return Person(name, given["AccessKeyId"], given["SecretAccessKey"]), given["SessionToken"]


@BOTH
def test_a_session_reads_what_a_policy_allows_it(
    sides: Sides, mine: list[Thing], theirs: list[Thing], signing: Signing
) -> None:
    for endpoint in (sides.front.gateway.url, sides.gate.s3_url):
        who, token = session(endpoint)
        before = sides.served()
        for thing in mine:
            answer = sides.same(Ask(thing.target, who, signing, signed=thing.headers, token=token))
            assert (answer.status, answer.body) == (200, thing.payload.bytes()), thing.key
        served = sides.served()
        assert served > before
        for thing in theirs:
            assert sides.same(Ask(thing.target, who, signing, signed=thing.headers, token=token)).status == 403
        assert sides.served() == served


@BOTH
def test_a_session_is_nothing_without_its_own_token(sides: Sides, mine: list[Thing], signing: Signing) -> None:
    who, token = session(sides.front.gateway.url)
    another, others = session(sides.front.gateway.url, "stranger")
    thing = next(thing for thing in mine if thing.encryption is Encryption.SSE_S3)
    head, body, signature = token.split(".")
    turned = signature[:-5] + ("A" if signature[-5] != "A" else "B") + signature[-4:]
    before = sides.served()
    for person, given in [
        (who, None),
        (who, others),
        (another, token),
        (another, others),
        (who, f"{head}.{body}.{turned}"),
        (who, f"{head}.{others.split('.')[1]}.{signature}"),
        (who, f"{head}.{body}."),
        (READER, token),
    ]:
        answer = sides.same(Ask(thing.target, person, signing, token=given))
        assert answer.status in (400, 403), (person, given)
    assert sides.served() == before


def test_a_token_that_nobody_signed(sides: Sides, mine: list[Thing]) -> None:
    """Whatever the gateway makes of it."""
    who, token = session(sides.front.gateway.url)
    for thing in mine:
        sides.same(Ask(thing.target, who, signed=thing.headers, added={"X-Amz-Security-Token": token}))
        sides.same(Ask(thing.target, READER, signed=thing.headers, added={"X-Amz-Security-Token": token}))


@pytest.mark.parametrize("authorization", ["Bearer {token}", "Bearer x.y.z", "bearer {token}", "Basic cmVhZGVyOng="])
def test_what_is_no_signature_is_relayed(sides: Sides, mine: list[Thing], authorization: str) -> None:
    _, token = session(sides.front.gateway.url)
    before = sides.served()
    for thing in mine:
        sides.same(Ask(thing.target, added={**thing.headers, "Authorization": authorization.format(token=token)}))
    assert sides.served() == before
