"""SSE-KMS with OpenBao or Vault: the gateway writes, tidegate reads, both through one transit server."""

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import IncompleteRead
from pathlib import Path

import pytest
from catalogue import PART_SIZES, Catalogue, Object, Shape
from conftest import StartTidegate
from expect import error_code, json_error, read, same_bytes
from harness import Cluster, Encryption, Front, Payload, Tidegate, Transit, open_stream, request, toml
from harness.authority import Authority
from harness.tidegate import run
from harness.transit import SECRET_ID
from waiting import reload

ONE_TRY = {"kms": {"cache_ttl": "0s", "providers": {"bao": {"max_retries": 0, "request_timeout": 2}}}}


@pytest.fixture(scope="module")
def transit() -> Iterator[Transit]:
    """The service of this file's tests."""
    service = Transit()
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def bao(root: Path, transit: Transit) -> Iterator[Front]:
    """A front of a cluster whose gateway has its keys wrapped by it."""
    servers = Cluster(root / "openbao", kms=transit)
    with ExitStack() as stack:
        stack.callback(servers.stop)
        servers.start()
        yield servers.add_front("bao", maxMB=1)


@pytest.fixture(scope="module")
def written(transit: Transit) -> Catalogue:
    """Objects under the service's key."""
    return Catalogue(transit)


@pytest.fixture(autouse=True)
def well_behaved(transit: Transit) -> None:
    """Each test begins with a service that does what it should."""
    transit.reset()


@pytest.mark.parametrize("shape", [Shape.BYTE, Shape.MANY, Shape.MULTIPART, Shape.EMPTY], ids=lambda s: s.value)
def test_what_the_gateway_wrote_is_read(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit, shape: Shape
) -> None:
    thing = written.get(bao, Encryption.SSE_KMS, shape)
    gate = start_tidegate(bao)
    answer = read(gate, thing)
    assert answer.status == 200, answer.body
    same_bytes(answer.body, thing.content)
    assert thing.from_gateway().body == thing.content
    if len(thing.content) > 9:
        same_bytes(read(gate, thing, Range="bytes=5-9").body, thing.content[5:10])
    keys = {Shape.EMPTY: 0, Shape.MULTIPART: len(PART_SIZES)}.get(shape, 1)
    assert (transit.asked("decrypt"), transit.asked("login")) == (keys, min(keys, 1))


def test_a_token_works_as_well(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit
) -> None:
    thing = written.get(bao, Encryption.SSE_KMS, Shape.MANY)
    by_token = {"default_provider": "given", "providers": {"given": transit.gateway_block()["providers"]["bao"]}}
    same_bytes(read(start_tidegate(bao, {"kms": by_token}), thing).body, thing.content)
    assert (transit.asked("decrypt"), transit.asked("login")) == (0, 0), "the gateway's own token was not used"


def test_tokens_are_renewed_and_replaced(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit
) -> None:
    thing = written.get(bao, Encryption.SSE_KMS, Shape.BYTE)
    transit.behaviour.token_ttl = 3
    gate = start_tidegate(bao, ONE_TRY)
    deadline = time.monotonic() + 20
    while transit.asked("renew-self") < 2 and time.monotonic() < deadline:
        assert read(gate, thing).status == 200
        time.sleep(0.1)
    assert (transit.asked("login"), transit.asked("renew-self")) == (1, 2)
    transit.behaviour.renewable = False
    while transit.asked("login") < 2 and time.monotonic() < deadline:
        assert read(gate, thing).status == 200
        time.sleep(0.1)
    assert transit.asked("login") >= 2


def test_refusals_and_outages_are_told_apart(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit
) -> None:
    thing = written.get(bao, Encryption.SSE_KMS, Shape.BYTE)
    gate = start_tidegate(bao, ONE_TRY)
    stored = thing.from_filer().body
    for fault, value, status, retry in [
        ("denied", True, 403, False),
        ("sealed", True, 503, True),
        ("slow", 4.0, 503, True),
    ]:
        transit.reset()
        setattr(transit.behaviour, fault, value)
        answer = read(gate, thing)
        assert answer.status == status, (fault, answer.body)
        assert "bao" in json_error(answer)
        assert (answer.header("Retry-After") != "") == retry, fault
        assert answer.body != stored
    transit.reset()
    await_answer(gate, thing)


def await_answer(gate: Tidegate, thing: Object) -> None:
    """Until the service is found to answer again, which one read in some seconds may try."""
    deadline = time.monotonic() + 30
    while (answer := read(gate, thing)).status == 503 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert answer.status == 200, answer.body


def test_a_service_that_is_down_is_noticed_once(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit
) -> None:
    """Not by each key that is needed meanwhile."""
    things = [written.sized(bao, Encryption.SSE_KMS, 100 + number) for number in range(10)]
    gate = start_tidegate(bao, {"kms": {"cache_ttl": "0s", "providers": {"bao": {"max_retries": 0}}}})
    assert read(gate, things[0]).status == 200
    transit.reset()
    transit.behaviour.sealed = True
    begun = time.monotonic()
    for thing in things * 5:
        answer = read(gate, thing)
        assert answer.status == 503
        assert "bao" in json_error(answer) and answer.header("Retry-After") != ""
    # After a second, then two and so on, one may try.
    assert transit.asked("decrypt") <= 2 + (time.monotonic() - begun)
    # What the service says is for the operator.
    assert "sealed" in gate.log.read_text()
    transit.reset()
    await_answer(gate, things[0])
    assert [read(gate, thing).status for thing in things] == [200] * len(things)


@pytest.fixture(scope="module")
def of_many_parts(bao: Front, written: Catalogue) -> tuple[str, bytes]:
    """The path of an object whose twelve parts have a key each, and its bytes."""
    written.get(bao, Encryption.SSE_KMS, Shape.BYTE)  # makes the bucket
    parts = [Payload(f"part {number}", 5 << 20).bytes() for number in range(12)]
    bao.s3.put_multipart("things", "twelve-parts", parts, ServerSideEncryption="aws:kms", SSEKMSKeyId=bao.kms.key_id)
    return "/buckets/things/twelve-parts", b"".join(parts)


NOT_FAR_AHEAD: dict[str, object] = {"prefetch": {"window": 2}}
"""Where a first byte takes long, the window grows until all parts are in it, and their keys are asked for."""


def test_the_first_byte_does_not_wait_for_the_keys_of_all_parts(
    bao: Front, of_many_parts: tuple[str, bytes], start_tidegate: StartTidegate, transit: Transit
) -> None:
    path, content = of_many_parts
    gate = start_tidegate(bao, NOT_FAR_AHEAD)
    with open_stream("GET", gate.url + path) as response:
        assert response.status == 200
        first = response.read(100_000)
        assert transit.asked("decrypt") <= 6
        rest = response.read()
    same_bytes(first + rest, content)
    assert (transit.asked("decrypt"), transit.asked("login")) == (12, 1)


def test_a_key_that_is_refused_in_mid_body_cuts_the_connection(
    bao: Front, of_many_parts: tuple[str, bytes], start_tidegate: StartTidegate, transit: Transit
) -> None:
    path, content = of_many_parts
    gate = start_tidegate(bao, NOT_FAR_AHEAD)
    with open_stream("GET", gate.url + path) as response:
        assert response.status == 200
        got = response.read(100_000)
        transit.behaviour.denied = True
        with pytest.raises(IncompleteRead) as cut:
            response.read()
    got += cut.value.partial
    assert content.startswith(got) and len(got) < len(content)
    assert request("GET", gate.url + path, {"Range": "bytes=62000000-62000009"}).status == 403


def test_a_wrong_secret_id_blames_the_configuration(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate
) -> None:
    thing = written.get(bao, Encryption.SSE_KMS, Shape.BYTE)
    gate = start_tidegate(bao, {"kms": {"providers": {"bao": {"secret_id": "another"}}}})
    answer = read(gate, thing)
    assert (answer.status, error_code(answer)) == (500, "KmsCredentials")
    message = json_error(answer)
    assert "another" not in message and SECRET_ID not in message


def test_a_login_that_gets_no_answer_is_waited_for_once(
    bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit
) -> None:
    """Reads of several keys come at once; none of them waits for the logins of the others."""
    shapes = (Shape.BYTE, Shape.MANY, Shape.MULTIPART)
    things = [written.get(bao, Encryption.SSE_KMS, shape) for shape in shapes]
    gate = start_tidegate(bao, ONE_TRY)
    transit.behaviour.slow = 4.0

    def timed(thing: Object) -> tuple[int, float]:
        begun = time.monotonic()
        return read(gate, thing).status, time.monotonic() - begun

    with ThreadPoolExecutor(len(things)) as pool:
        answers = list(pool.map(timed, things))
    assert [status for status, _ in answers] == [503] * len(things)
    assert max(took for _, took in answers) < 3.8, answers
    assert transit.asked("login") == 1


def test_its_certificates_are_checked_and_read_again(
    root: Path, tmp_path: Path, bao: Front, written: Catalogue, start_tidegate: StartTidegate, transit: Transit
) -> None:
    """A stranger's certificate is installed at first; then, without a restart, a good one."""
    thing = written.get(bao, Encryption.SSE_KMS, Shape.BYTE)
    authority, strangers = Authority(root / "bao-authority"), Authority(root / "bao-strangers", "strangers")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("bao"))
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    cert, key, ca = tmp_path / "client.pem", tmp_path / "client.key", tmp_path / "ca.pem"
    files = {"ca_cert": str(ca), "client_cert": str(cert), "client_key": str(key)}

    def install(issuer: Authority, believed: Authority) -> None:
        issuer.install("client", cert, key)
        ca.write_bytes(believed.ca.read_bytes())

    install(strangers, authority)
    provider = {"address": transit.serve_tls(context), "max_retries": 0, **files}
    gate = start_tidegate(bao, {"kms": {"cache_ttl": "0s", "providers": {"bao": provider}}})
    assert read(gate, thing).status == 503, "a client that the service does not know was let in"
    install(authority, strangers)
    reload(gate)
    assert read(gate, thing).status == 503, "a service of an authority that is not believed was believed"
    install(authority, authority)
    assert "ERROR" not in reload(gate)
    same_bytes(read(gate, thing).body, thing.content)
    cert.write_text("gone")
    assert str(cert) in reload(gate)
    same_bytes(read(gate, thing).body, thing.content)


@pytest.mark.parametrize("broken", ["ca_cert", "client_cert", "client_key"])
def test_a_certificate_file_that_cannot_be_used_is_named(tmp_path: Path, broken: str) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("client")
    files = {"ca_cert": "ca.pem", "client_cert": cert.name, "client_key": key.name, broken: "nothing.pem"}
    provider = {"type": "openbao", "token": "t", **files}
    config = tmp_path / "tidegate.toml"
    config.write_text(toml.dumps({"kms": {"providers": {"bao": provider}}}))
    checked = run("check", "--config", str(config))
    assert checked.returncode == 2
    assert f"kms.providers.bao: {tmp_path / 'nothing.pem'}: cannot be read" in checked.stderr
