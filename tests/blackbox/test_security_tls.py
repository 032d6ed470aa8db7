"""TLS on every side: a cluster that shows and wants certificates, and clients that do."""

import socket
import ssl
from http.client import BadStatusLine
from pathlib import Path

import pytest
from catalogue import CUSTOMER_KEY, Catalogue, Shape
from conftest import StartTidegate
from expect import json_error, same_bytes
from harness import Encryption, Front, Tidegate, request
from harness.authority import Authority
from harness.secured import FILER_READ_KEY, security_of
from harness.tidegate import run
from harness.tokens import token

TOKEN = {"Authorization": f"Bearer {token(FILER_READ_KEY, {'exp': 4_000_000_000})}"}


@pytest.fixture(scope="module")
def front(front_secured: Front) -> Front:
    """Who has TLS on everything."""
    return front_secured


@pytest.fixture(scope="module")
def gate(front: Front, start_shared: StartTidegate) -> Tidegate:
    """A tidegate with the cluster's security.toml."""
    return start_shared(front, security_of(front))


@pytest.mark.parametrize("encryption", list(Encryption), ids=lambda e: e.title)
@pytest.mark.parametrize("shape", [Shape.BYTE, Shape.MANY, Shape.MULTIPART], ids=lambda s: s.value)
def test_reads_over_tls(front: Front, objects: Catalogue, gate: Tidegate, encryption: Encryption, shape: Shape) -> None:
    thing = objects.get(front, encryption, shape)
    answer = request("GET", gate.url + thing.path(), {**TOKEN, **thing.key_headers})
    assert answer.status == 200
    same_bytes(answer.body, thing.content)


def test_the_cluster_speaks_nothing_else(front: Front, objects: Catalogue, authority: Authority) -> None:
    """Lest the reads above show nothing."""
    path = objects.get(front, Encryption.NONE, Shape.BYTE).path()
    assert request("GET", f"http://{front.filer.address}{path}", TOKEN).status == 400
    with pytest.raises((ssl.SSLError, OSError)):
        request("GET", front.filer.url + path, TOKEN, context=authority.client())


def test_relays_over_tls(front: Front, objects: Catalogue, gate: Tidegate) -> None:
    path = objects.get(front, Encryption.NONE, Shape.BYTE).path() + "?metadata=true"
    assert request("GET", gate.url + path, TOKEN).body == request("GET", front.filer.url + path, TOKEN).body
    assert request("GET", gate.url + path).status == 401


def test_a_filer_that_wants_https_closes_reads_where_tidegate_was_not_told(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    path = objects.get(front, Encryption.NONE, Shape.BYTE).path()
    plain = request("HEAD", f"http://{front.filer.address}/nowhere")
    assert plain.status == 400
    gate = start_tidegate(front, security_of(front), env={"WEED_HTTPS_CLIENT_ENABLED": "false"}, ready=False)
    answer = request("GET", gate.url + path, TOKEN)
    assert answer.status == 503
    assert "https.client.enabled" in json_error(answer)
    assert request("GET", f"{gate.admin_url}/readyz").status == 503


@pytest.mark.parametrize("table", ["grpc", "https"])
def test_an_authority_that_is_not_the_clusters_is_not_believed(
    root: Path, front: Front, objects: Catalogue, start_tidegate: StartTidegate, authority: Authority, table: str
) -> None:
    other = Authority(root / f"other-{table}", "other")
    ca = {"WEED_GRPC_CA": str(other.ca)} if table == "grpc" else {"WEED_HTTPS_CLIENT_CA": str(other.ca)}
    path = objects.get(front, Encryption.NONE, Shape.MANY).path()
    if table == "grpc":
        with pytest.raises(Exception, match="not ready"):
            start_tidegate(front, security_of(front), env=ca)
        return
    gate = start_tidegate(front, security_of(front), env=ca, ready=False)
    for target in (path, path + "?metadata=true"):
        answer = request("GET", gate.url + target, TOKEN)
        assert answer.status in (502, 503), target


def test_the_check_of_certificates_can_be_switched_off(
    root: Path, front: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    """As weed does it: with `https.client.insecure_skip_verify`, for fetches and for what is relayed."""
    other = Authority(root / "unrelated", "unrelated")
    thing = objects.get(front, Encryption.SSE_S3, Shape.MANY)
    believing = {"WEED_HTTPS_CLIENT_CA": str(other.ca), "WEED_HTTPS_CLIENT_INSECURE_SKIP_VERIFY": "true"}
    gate = start_tidegate(front, security_of(front), env=believing)
    answer = request("GET", gate.url + thing.path(), TOKEN)
    assert answer.status == 200
    same_bytes(answer.body, thing.content)
    assert request("GET", gate.url + thing.path() + "?metadata=true", TOKEN).status == 200


def served(front: Front, authority: Authority, **server: str) -> dict[str, object]:
    cert, key = authority.issue("gate")
    return {**security_of(front), "server": {"tls_cert": str(cert), "tls_key": str(key), **server}}


def secure(gate: Tidegate) -> str:
    return gate.url.replace("http://", "https://")


def test_clients_are_served_over_tls(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate, authority: Authority
) -> None:
    thing = objects.get(front, Encryption.SSE_C, Shape.MANY)
    gate = start_tidegate(front, served(front, authority))
    answer = request("GET", secure(gate) + thing.path(), {**TOKEN, **thing.key_headers}, context=authority.client())
    same_bytes(answer.body, thing.content)
    with pytest.raises((OSError, BadStatusLine)):  # an alert, which is no HTTP, or just the end
        request("GET", gate.url + thing.path(), TOKEN)
    with pytest.raises(ssl.SSLCertVerificationError):
        request("GET", secure(gate) + thing.path(), TOKEN, context=ssl.create_default_context())


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), ([], None)])
def test_http_2_is_offered(
    front: Front, start_tidegate: StartTidegate, authority: Authority, offered: list[str], chosen: str | None
) -> None:
    gate = start_tidegate(front, served(front, authority))
    context = authority.client()
    if offered:
        context.set_alpn_protocols(offered)
    with socket.create_connection(("127.0.0.1", gate.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            assert connection.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
@pytest.mark.parametrize("asks", [True, False], ids=["for certificates", "for none"])
def test_a_session_does_not_outlive_the_certificate_that_was_shown(
    front: Front, start_tidegate: StartTidegate, authority: Authority, version: ssl.TLSVersion, asks: bool
) -> None:
    """One that is resumed shows none, so where certificates count none is."""
    gate = start_tidegate(front, served(front, authority, **({"tls_client_ca": str(authority.ca)} if asks else {})))
    context = authority.client(authority.issue("reader", hosts=False))
    context.maximum_version = version

    def session(before: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        """The session of one connection on which an answer has come, and whether it went on with the one before."""
        with socket.create_connection(("127.0.0.1", gate.port), timeout=10) as plain:
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=before) as line:
                line.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert line.recv(1 << 16)
                return line.session, line.session_reused

    first, _ = session(None)
    assert session(first)[1] is not asks


@pytest.mark.parametrize("encryption", [Encryption.SSE_KMS, Encryption.SSE_S3], ids=lambda e: e.title)
def test_managed_keys_for_who_shows_a_certificate(
    root: Path,
    front: Front,
    objects: Catalogue,
    start_tidegate: StartTidegate,
    authority: Authority,
    encryption: Encryption,
) -> None:
    thing = objects.get(front, encryption, Shape.MANY)
    config = served(front, authority, tls_client_ca=str(authority.ca))
    gate = start_tidegate(front, {**config, "access": {"managed_keys": "mtls"}})
    url = secure(gate) + thing.path()
    nobody = request("GET", url, TOKEN, context=authority.client())
    assert nobody.status == 403
    assert "client certificate" in json_error(nobody)
    answer = request("GET", url, TOKEN, context=authority.client(authority.issue("reader", hosts=False)))
    assert answer.status == 200
    same_bytes(answer.body, thing.content)
    # A cache in front keeps neither for the next one.
    for given in (nobody, answer):
        assert given.header("Cache-Control") == "private"
        assert given.header("Vary") == "authorization, cookie, *"
    stranger = authority.client(Authority(root / "strangers", "strangers").issue("stranger"))
    with pytest.raises((ssl.SSLError, OSError)):
        request("GET", url, TOKEN, context=stranger)
    # What needs no managed key needs no certificate.
    plain = objects.get(front, Encryption.NONE, Shape.BYTE)
    assert request("GET", secure(gate) + plain.path(), TOKEN, context=authority.client()).body == plain.content


def test_tls_is_what_customer_keys_want_from_afar(
    front: Front, objects: Catalogue, start_tidegate: StartTidegate, authority: Authority
) -> None:
    """Asked over this machine's own outside address; without one, over loopback, where a key may come anyway."""
    thing = objects.get(front, Encryption.SSE_C, Shape.BYTE)
    gate = start_tidegate(front, served(front, authority), host="0.0.0.0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        address = probe.getsockname()[0]
    context = authority.client()
    context.check_hostname = False
    url = f"https://{address}:{gate.port}{thing.path()}"
    assert request("GET", url, {**TOKEN, **CUSTOMER_KEY.headers()}, context=context).body == thing.content


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('[access]\nmanaged_keys = "jwt"', "needs jwt.filer_signing.read.key"),
        ('[access]\nmanaged_keys = "mtls"', "needs server.tls_client_ca"),
        ('[server]\ntls_cert = "a.pem"', "server.tls_key: must be set"),
        ('[server]\ntls_client_ca = "a.pem"', "server.tls_client_ca: needs"),
        ('[filer]\nsecurity_toml = "nowhere.toml"', "nowhere.toml: filer.security_toml cannot be read"),
        ('[server]\ntls_cert = "nowhere.pem"\ntls_key = "k"', "nowhere.pem: server.tls_cert: cannot be read"),
        ('[server]\ntls_cert = "tidegate.toml"\ntls_key = "k"', "tidegate.toml: server.tls_cert: no certificate in it"),
    ],
)
def test_what_lacks_its_other_half_is_refused_at_the_start(tmp_path: Path, config: str, message: str) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(config)
    for arguments in (["check"], []):
        result = run(*arguments, "--config", file)
        assert result.returncode == 2
        assert message in result.stderr
