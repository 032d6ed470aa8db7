"""Policies that ask where a client is (`aws:SourceIp`), behind the S3 front: with a gateway that believes tidegate, and one
that does not."""

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import StartTidegate
from harness import Front, Tidegate, weed
from harness.tidegate import run
from waiting import reload, until

BELIEVED = "127.0.0.1"
"""Whom the gateway believes: tidegate comes from there."""
CLIENT = "127.0.0.9"
OBJECT = b"x" * (2 << 20)
WARNING = "s3.trusted_proxies.white_list"


def policy(bucket: str, effect: str, address: str) -> str:
    """That may be read, or not, from an address."""
    condition = {"IpAddress": {"aws:SourceIp": f"{address}/32"}}
    resource = f"arn:aws:s3:::{bucket}/*"
    statement = {"Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": resource, "Condition": condition}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def status(gate: Tidegate, path: str, headers: dict[str, str], client: str = CLIENT) -> int:
    """How a request from `client` is answered that nobody signed."""
    host, _, port = gate.s3_listen.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10, source_address=(client, 0))
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


@pytest.fixture(scope="module")
def believing(front_1mb: Front, root: Path) -> Iterator[str]:
    """A gateway on the same filer that believes what tidegate says of clients, and lets nobody else in."""
    iam = {"identities": [{"name": "admin", "credentials": [], "actions": ["Admin"]}]}
    told = {"WEED_S3_TRUSTED_PROXIES_WHITE_LIST": BELIEVED}
    with ExitStack() as stack:
        gateway = weed.s3(root, "s3-believing", front_1mb.filer.full_address, iam, {}, told)
        stack.callback(gateway.stop)
        gateway.start()
        gateway.wait_ready(lambda: weed.answers(gateway.url + "/healthz"))
        yield gateway.url


@pytest.fixture
def bucket(front_1mb: Front) -> Iterator[str]:
    """A bucket with an object; its policy goes with the test."""
    name = "of-addresses"
    s3 = front_1mb.s3.client
    if name not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="k", Body=OBJECT)
    yield name
    s3.delete_bucket_policy(Bucket=name)


LIES = [
    {},
    {"X-Forwarded-For": "{address}"},
    {"X-Forwarded-For": "{address}, 127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1, {address}"},
    {"X-Real-IP": "{address}"},
    {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "{address}"},
    {"Forwarded": "for={address}"},
    {"X-Real-IP": "{address}", "Connection": "X-Forwarded-For"},
]
QUERIES = ["", "?x=x-forwarded-for", "?X-Amz-SignedHeaders=host%3Bx-forwarded-for"]


def answers_to_lies(gate: Tidegate, bucket: str, address: str) -> dict[tuple[str, str], int]:
    """The status that a client gets that says it was at `address`, by headers and query: every way there is."""
    answers = {}
    for lie in LIES:
        told = {name: value.format(address=address) for name, value in lie.items()}
        for query in QUERIES:
            answers[json.dumps(lie), query] = status(gate, f"/{bucket}/k{query}", told)
    return answers


def test_a_client_is_where_it_is_whatever_it_says(
    front_1mb: Front, believing: str, start_tidegate: StartTidegate, bucket: str
) -> None:
    gate = start_tidegate(front_1mb, {"s3": {"gateway": [believing]}})
    s3 = front_1mb.s3.client
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, "Allow", CLIENT))
    until(lambda: status(gate, f"/{bucket}/k", {}) == 200, "the gateway knows of the policy")
    for (lie, query), answer in answers_to_lies(gate, bucket, "203.0.113.9").items():
        # Who says that the header was signed, and does not send it, is refused before anybody is asked.
        is_refused = "SignedHeaders" in query and '"X-Forwarded-For":' not in lie
        assert answer == (403 if is_refused else 200), (lie, query)
    for address in ("203.0.113.9", BELIEVED):
        s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, "Allow", address))
        until(lambda: status(gate, f"/{bucket}/k", {}) == 403, "the gateway knows of the policy")
        assert set(answers_to_lies(gate, bucket, address).values()) == {403}, address


def test_without_belief_every_client_is_where_tidegate_is(
    front_1mb: Front, start_tidegate: StartTidegate, bucket: str
) -> None:
    """And the operator is told so."""
    gate = start_tidegate(front_1mb, {"s3": {"gateway": [front_1mb.gateway.url]}})
    until(lambda: WARNING in gate.log.read_text(), "it is said")
    s3 = front_1mb.s3.client
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, "Deny", BELIEVED))
    until(lambda: status(gate, f"/{bucket}/k", {}) == 403, "the gateway knows of the policy")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(bucket, "Deny", CLIENT))
    until(lambda: status(gate, f"/{bucket}/k", {}) == 200, "the gateway knows of the policy")
    assert 403 not in {status(gate, f"/{bucket}/k", {name: CLIENT}) for name in ("X-Forwarded-For", "X-Real-IP")}


def test_who_is_believed_is_read_again(front_1mb: Front, start_tidegate: StartTidegate, tmp_path: Path) -> None:
    security = tmp_path / "security.toml"
    security.write_text(f'[s3.trusted_proxies]\nwhite_list = "10.0.0.0/8, {BELIEVED}"\n')
    gate = start_tidegate(
        front_1mb, {"s3": {"gateway": [front_1mb.gateway.url]}, "filer": {"security_toml": str(security)}}
    )
    assert WARNING not in gate.log.read_text()
    assert WARNING not in run("check", "--config", gate.config_file).stdout
    security.write_text('[s3.trusted_proxies]\nwhite_list = "10.0.0.0/8"\n')
    reload(gate)
    until(lambda: WARNING in gate.log.read_text(), "it is said")
    done = run("check", "--config", gate.config_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"# Warning: policies that ask for aws:SourceIp see tidegate's address ({BELIEVED})" in done.stdout
