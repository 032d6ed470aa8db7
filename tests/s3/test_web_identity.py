"""People whom a provider of OpenID Connect knows: the role that the gateway gives them decides, for every request."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from harness import Answer, Front, Tidegate
from joserfc import jwt
from joserfc.jwk import RSAKey

from asks import Ask, Signing
from people import ADMIN, Person
from shelf import Thing, put_mine_and_theirs, shelf
from sides import Sides

BUCKET = "of-provider"
CLIENT = "tests"


class Provider:
    """A provider of identities, as far as the gateway asks it: where its keys are, and the keys."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "of-tests", "use": "sig", "alg": "RS256"})
        documents = {
            "/.well-known/openid-configuration": lambda: {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys"},
            "/keys": lambda: {"keys": [self.key.as_dict(private=False)]},
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                document = documents.get(self.path)
                self.send_response(200 if document else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(document()).encode() if document else b"{}")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Answers nothing more."""
        self._server.shutdown()
        self._server.server_close()

    def token(self, name: str, role: str, *, expires: float = 600, key: RSAKey | None = None) -> str:
        """What it says of somebody."""
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "sub": name,
            "aud": CLIENT,
            "iat": now,
            "exp": now + int(expires),
            "roles": [role],
        }
        return jwt.encode({"alg": "RS256", "kid": "of-tests"}, claims, key or self.key)


def _allow(prefix: str) -> dict[str, object]:
    """A policy of a role that lets read below a prefix."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{BUCKET}/{prefix}*"]},
            {"Effect": "Allow", "Action": ["sts:ValidateSession"], "Resource": ["*"]},
        ],
    }


def _role(name: str, policy: str) -> dict[str, object]:
    trust = {"Effect": "Allow", "Principal": {"Federated": "tests"}, "Action": ["sts:AssumeRoleWithWebIdentity"]}
    by_key = {"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole"]}
    return {
        "roleName": name,
        "roleArn": f"arn:aws:iam::role/{name}",
        "trustPolicy": {"Version": "2012-10-17", "Statement": [trust, by_key]},
        "attachedPolicies": [policy],
    }


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """It runs."""
    provider = Provider()
    yield provider
    provider.stop()


@pytest.fixture(scope="module")
def sides(root: Path, front: Front, provider: Provider) -> Iterator[Sides]:
    """A gateway that knows the provider and two roles, and a tidegate before it."""
    config = root / "iam.json"
    oidc = {"issuer": provider.issuer, "clientId": CLIENT, "jwksUri": f"{provider.issuer}/keys"}
    mapping = {"rules": [{"claim": "roles", "value": r, "role": f"arn:aws:iam::role/{r}"} for r in ("Reads", "Nothing")]}
    document = {
        "sts": {
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "issuer": "seaweedfs-sts",
            "signingKey": "dGVzdC1zaWduaW5nLWtleS0zMi1jaGFyYWN0ZXJzLWxvbmc=",
        },
        "providers": [{"name": "tests", "type": "oidc", "enabled": True, "config": {**oidc, "roleMapping": mapping}}],
        "policy": {"defaultEffect": "Deny"},
        "policies": [
            {"name": "ReadsMine", "document": _allow("mine/")},
            {"name": "ReadsNothing", "document": _allow("nothing/")},
        ],
        "roles": [_role("Reads", "ReadsMine"), _role("Nothing", "ReadsNothing")],
    }
    config.write_text(json.dumps(document))
    own = front.cluster.add_front("oidc", kek=front.kek, gateway={"iam.config": config}, maxMB=1)
    with ExitStack() as stack:
        gate = Tidegate(root / "tidegate-oidc", {**own.tidegate_config("none"), "s3": {"gateway": [own.gateway.url]}})
        stack.callback(gate.stop, 2.0)
        gate.start()
        yield Sides(own, gate)


@pytest.fixture(scope="module")
def mine(sides: Sides) -> list[Thing]:
    """What the role Reads may read, of every encryption."""
    return put_mine_and_theirs(sides.front, BUCKET)


@pytest.fixture(scope="module")
def theirs(mine: list[Thing]) -> list[Thing]:
    """What it may not."""
    return shelf(BUCKET, ["theirs"])


def assume(endpoint: str, token: str, role: str) -> tuple[Person, str]:
    """Somebody in a role by what the provider says of him, and the token of his session."""
    config = Config(signature_version=UNSIGNED, retries={"max_attempts": 1})
    sts = boto3.client("sts", endpoint_url=endpoint, region_name="us-east-1", config=config)
    given = sts.assume_role_with_web_identity(
        RoleArn=f"arn:aws:iam::role/{role}", RoleSessionName="session", WebIdentityToken=token
    )["Credentials"]
    return Person("in a role", given["AccessKeyId"], given["SecretAccessKey"]), given["SessionToken"]


@pytest.mark.parametrize("signing", [Signing.HEADER, Signing.PRESIGNED], ids=lambda s: s.value)
def test_a_role_by_the_providers_word(
    sides: Sides, provider: Provider, mine: list[Thing], theirs: list[Thing], signing: Signing
) -> None:
    for endpoint in (sides.front.gateway.url, sides.gate.s3_url):
        reads, token = assume(endpoint, provider.token("a", "Reads"), "Reads")
        nothing, without = assume(endpoint, provider.token("b", "Nothing"), "Nothing")
        before = sides.served()
        for thing in mine:
            answer = sides.same(Ask(thing.target, reads, signing, signed=thing.headers, token=token))
            assert (answer.status, answer.body) == (200, thing.payload.bytes()), thing.key
        served = sides.served()
        assert served == before + len(mine)
        for thing in theirs:
            assert sides.same(Ask(thing.target, reads, signing, signed=thing.headers, token=token)).status == 403
        for thing in mine:
            for person, given in ((nothing, without), (nothing, token), (reads, without), (reads, None)):
                asked = Ask(thing.target, person, signing, signed=thing.headers, token=given)
                assert sides.same(asked).status in (400, 403), thing.key
        assert sides.served() == served


def test_a_role_by_a_key(sides: Sides, mine: list[Thing], theirs: list[Thing]) -> None:
    sts = boto3.client(
        "sts",
        endpoint_url=sides.gate.s3_url,
        region_name="us-east-1",
        aws_access_key_id=ADMIN.access_key,
        aws_secret_access_key=ADMIN.secret_key,
    )
    given = sts.assume_role(RoleArn="arn:aws:iam::role/Reads", RoleSessionName="session")["Credentials"]
    who, token = Person("in a role", given["AccessKeyId"], given["SecretAccessKey"]), given["SessionToken"]
    before = sides.served()
    for thing in mine:
        answer = sides.same(Ask(thing.target, who, signed=thing.headers, token=token))
        assert (answer.status, answer.body) == (200, thing.payload.bytes()), thing.key
    served = sides.served()
    assert served == before + len(mine)
    for thing in theirs:
        assert sides.same(Ask(thing.target, who, signed=thing.headers, token=token)).status == 403
    assert sides.served() == served


def test_no_role_without_the_providers_word(sides: Sides, provider: Provider, mine: list[Thing]) -> None:
    forged = provider.token("a", "Reads", key=RSAKey.generate_key(2048, {"kid": "of-tests"}))
    for token in (forged, provider.token("a", "Reads", expires=-600), "x.y.z"):
        for endpoint in (sides.front.gateway.url, sides.gate.s3_url):
            with pytest.raises(ClientError):
                assume(endpoint, token, "Reads")


def test_the_providers_word_itself(
    sides: Sides, provider: Provider, mine: list[Thing], theirs: list[Thing]
) -> None:
    """In place of a signature: `Authorization: Bearer`."""

    def read(thing: Thing, token: str) -> Answer:
        bearer = {"Authorization": f"Bearer {token}"}
        return sides.same(Ask(thing.target, added={**thing.headers, **bearer}))

    before = sides.served()
    for thing in mine:
        answer = read(thing, provider.token("a", "Reads"))
        assert (answer.status, answer.body) == (200, thing.payload.bytes()), thing.key
    served = sides.served()
    assert served == before + len(mine)
    _, session = assume(sides.front.gateway.url, provider.token("a", "Nothing"), "Nothing")
    good = provider.token("a", "Reads")
    for token in (
        provider.token("a", "Nothing"),
        provider.token("a", "Reads", expires=-600),
        provider.token("a", "Reads", key=RSAKey.generate_key(2048, {"kid": "of-tests"})),
        f"{good.rpartition('.')[0]}.",
        session,
    ):
        for thing in mine:
            assert read(thing, token).status in (400, 403), thing.key
    for thing in theirs:
        assert read(thing, good).status == 403, thing.key
    assert sides.served() == served
