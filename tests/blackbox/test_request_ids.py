"""What a request is called: as trusted proxies call it, in each line of the log, and by whoever is asked on its behalf."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, request
from harness.relay import Behaviour, Relay
from pairs import Breakable
from waiting import until

TRUSTED = {"server": {"trusted_proxies": ["127.0.0.1"]}}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
OWN = re.compile("[0-9A-F]{24}")


def named(gate: Tidegate, headers: dict[str, str], path: str = "/not-here") -> tuple[str, str]:
    """What an answer calls the request, by both names."""
    answer = request("GET", gate.url + path, headers=headers)
    return answer.header("X-Amz-Request-Id"), answer.header("X-Request-Id")


def test_a_trusted_proxy_names_the_request(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb, TRUSTED)
    assert named(gate, {"X-Request-Id": "from-the-edge.1"}) == ("from-the-edge.1", "from-the-edge.1")
    assert named(gate, {"traceparent": PARENT}) == (TRACE, TRACE)
    assert named(gate, {"X-Request-Id": "one", "traceparent": PARENT}) == ("one", "one")
    for unusable in ("a b", "<script>", 'a"b', "x" * 129):
        made, told = named(gate, {"X-Request-Id": unusable, "traceparent": PARENT.replace("00-", "ff-")})
        assert OWN.fullmatch(made) and not told, unusable


def test_nobody_else_does(front_1mb: Front, start_tidegate: StartTidegate) -> None:
    gate = start_tidegate(front_1mb)
    made, told = named(gate, {"X-Request-Id": "mine", "traceparent": PARENT})
    assert OWN.fullmatch(made) and not told


def test_every_line_about_a_request_has_its_name(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """Those of the key management service and the access log too."""
    settings = {
        **TRUSTED,
        "log": {"level": "debug", "format": "json", "access": "all"},
        "kms": {"providers": {"main": {"endpoint": "http://127.0.0.1:1", "max_retries": 0}}},
    }
    gate = start_tidegate(front_1mb, settings)
    sealed = objects.get(front_1mb, Encryption.SSE_KMS, Shape.CHUNK)
    begin = len(gate.log.read_text())
    assert read(gate, sealed, X_Request_Id="the-one").status == 503

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in gate.log.read_text()[begin:].splitlines()]

    def about() -> list[dict[str, object]]:
        return [line for line in lines() if line.get("request") == "the-one"]

    # The access log has a writer of its own and no target, so its line may stand before the others.
    told = {"tidegate::keys::kms::retry", "tidegate::layers::error_log", None}
    until(lambda: {line.get("target") for line in about()} >= told, "all who know of the request have told")
    others = [str(line["target"]) for line in lines() if line.get("request") != "the-one" and "target" in line]
    rooms = {target.split("::")[1] for target in others}
    assert not rooms & {"keys", "layers", "read"}, "those of others are about filers"


@pytest.fixture
def listened(front_1mb: Front, start_tidegate: StartTidegate) -> Iterator[tuple[Tidegate, Behaviour]]:
    """A tidegate and what it sends to its filer and its S3 gateway by HTTP."""
    behaviour = Behaviour(remember=True)
    with ExitStack() as stack:

        def heard(address: str) -> int:
            relay = Relay.before(address, behaviour)
            stack.callback(relay.stop)
            return relay.port

        grpc = front_1mb.filer.full_address.rpartition(".")[2]
        filer = f"127.0.0.1:{heard(front_1mb.filer.address)}.{grpc}"
        gateway = f"http://127.0.0.1:{heard(front_1mb.gateway.url.removeprefix('http://'))}"
        settings = {**TRUSTED, "filer": {"addresses": [filer]}, "s3": {"gateway": [gateway]}}
        yield start_tidegate(front_1mb, settings), behaviour


def sent(behaviour: Behaviour, name: str) -> list[str]:
    """The values of a header in all that was sent."""
    text = bytes(behaviour.sent_by_clients).decode("latin-1")
    return re.findall(rf"(?im)^{name}: (.*?)\r$", text)


def test_the_filer_is_told(listened: tuple[Tidegate, Behaviour]) -> None:
    gate, behaviour = listened
    behaviour.sent_by_clients.clear()
    answer = request("PUT", gate.url + "/named/a", headers={"X-Request-Id": "put", "traceparent": PARENT}, body=b"a")
    assert answer.status == 201
    assert answer.header("X-Request-Id") == "put"
    assert OWN.fullmatch(answer.header("X-Amz-Request-Id")), "the filer's own stays"
    assert sent(behaviour, "x-request-id") == ["put"]
    (hop,) = sent(behaviour, "traceparent")
    assert hop.startswith(PARENT[:36]) and hop.endswith("-01") and hop != PARENT


def test_the_s3_gateway_is_told_what_nobody_signed(listened: tuple[Tidegate, Behaviour]) -> None:
    gate, behaviour = listened
    behaviour.sent_by_clients.clear()
    answer = request("GET", gate.s3_url + "/nobody/k", headers={"traceparent": PARENT})
    assert answer.status in {403, 404}
    assert answer.header("X-Request-Id") == TRACE
    assert set(sent(behaviour, "x-request-id")) == {TRACE}
    assert all(hop.startswith(PARENT[:36]) and hop != PARENT for hop in sent(behaviour, "traceparent"))
    assert not [name for name in re.findall(rb"(?i)x-amz-[a-z-]+", bytes(behaviour.sent_by_clients))], "none of these"
    # A client's own is passed on as it came: it may be signed.
    behaviour.sent_by_clients.clear()
    signed = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;{}, Signature=b"
    for names, headers in [
        ("x-request-id;traceparent", {"X-Request-Id": "theirs", "traceparent": PARENT}),
        ("x-request-id", {}),
    ]:
        request("GET", gate.s3_url + "/nobody/k", headers={**headers, "Authorization": signed.format(names)})
    assert set(sent(behaviour, "x-request-id")) == {"theirs"}
    assert set(sent(behaviour, "traceparent")) == {PARENT}


def test_volume_servers_are_told(lone: Breakable, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    front = lone.fronts[1]
    gate = start_tidegate(front, TRUSTED)
    thing = objects.get(front, Encryption.NONE, Shape.MANY)
    (line,) = lone.lines
    line.sent_by_clients.clear()
    line.remember = True
    try:
        assert read(gate, thing, X_Request_Id="volumes").status == 200
        ids = sent(line, "x-amz-request-id")
        assert len(ids) > 1 and set(ids) == {"volumes"}
        line.sent_by_clients.clear()
        assert read(start_tidegate(front), thing).status == 200
        (made,) = set(sent(line, "x-amz-request-id"))
        assert OWN.fullmatch(made)
    finally:
        line.remember = False


def test_the_key_service_is_told(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> None:
    behaviour = Behaviour(remember=True)
    relay = Relay.before(front_1mb.kms.endpoint.removeprefix("http://"), behaviour)
    try:
        gate = start_tidegate(
            front_1mb, {**TRUSTED, "kms": {"providers": {"main": {"endpoint": f"http://127.0.0.1:{relay.port}"}}}}
        )
        sealed = objects.get(front_1mb, Encryption.SSE_KMS, Shape.CHUNK)
        assert read(gate, sealed, X_Request_Id="the-one").status == 200
    finally:
        relay.stop()
    assert sent(behaviour, "x-request-id") == ["the-one"]
