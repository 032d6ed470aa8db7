"""SIGHUP: the SSE-S3 key and the TLS files are read again, and what is broken leaves what was there."""

import socket
import ssl
from pathlib import Path

import pytest
from catalogue import Catalogue
from conftest import StartTidegate
from cryptography import x509
from expect import json_error, read, same_bytes
from harness import Cluster, Encryption, Front, Kek, Tidegate, request, toml
from harness.authority import Authority
from harness.secured import FILER_READ_KEY, security_of, signing_keys, tls
from harness.tokens import token
from waiting import reload, until

TOKEN = {"Authorization": f"Bearer {token(FILER_READ_KEY, {'exp': 4_000_000_000})}"}


@pytest.fixture(scope="module")
def rotated(cluster: Cluster) -> Front:
    """A front whose key is in the filer, where it can be changed."""
    return cluster.add_front("rotated", kek=Kek.in_filer("the first"), maxMB=1)


def test_the_sse_s3_key_is_read_at_the_start_and_on_reload(
    rotated: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    old = objects.sized(rotated, Encryption.SSE_S3, 100_000, "under-the-first-key")
    gate = start_tidegate(rotated)
    until(lambda: "read the SSE-S3 key" in gate.log.read_text(), "the key is read before it is needed")
    same_bytes(read(gate, old).body, old.content)

    second = Kek.in_filer("the second").filer_file
    rotated.gateway.stop()
    rotated.write_kek(second)
    rotated.start_gateway()
    new = objects.sized(rotated, Encryption.SSE_S3, 100_000, "under-the-second-key")
    same_bytes(read(gate, old).body, old.content)  # nobody has told it yet

    assert "read the SSE-S3 key" in reload(gate)
    same_bytes(read(gate, new).body, new.content)
    refused = read(gate, old)
    assert refused.status == 500 and "/etc/s3/sse_kek" in json_error(refused)

    rotated.write_kek("this is no key")
    assert "/etc/s3/sse_kek" in reload(gate)
    same_bytes(read(gate, new).body, new.content)
    assert gate.running
    rotated.write_kek(second)


def test_a_filer_that_is_missing_does_not_keep_it_from_starting(
    rotated: Front, objects: Catalogue, root: Path
) -> None:
    thing = objects.sized(rotated, Encryption.SSE_S3, 70_000, "read-later")
    gate = Tidegate(root / "tidegate", rotated.tidegate_config(), name="before-its-filer")
    rotated.gateway.stop()
    rotated.filer.stop()
    try:
        super(Tidegate, gate).start()
        until(lambda: "the first need tries again" in gate.log.read_text(), "the missing filer is logged", timeout=30)
        assert request("GET", f"{gate.admin_url}/healthz").status == 200
        rotated.filer.start()
        until(lambda: read(gate, thing).status == 200, "the key is read when it is needed", timeout=30)
        same_bytes(read(gate, thing).body, thing.content)
    finally:
        gate.stop(2.0)
        if not rotated.filer.running:
            rotated.filer.start()
        rotated.start_gateway()


def shown(gate: Tidegate, context: ssl.SSLContext) -> str:
    """The name in the certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", gate.port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            certificate = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    return certificate.subject.rfc4514_string()


def test_a_renewed_certificate_is_shown_to_new_connections(
    front_1mb: Front, start_tidegate: StartTidegate, authority: Authority, tmp_path: Path
) -> None:
    cert, key = tmp_path / "served.pem", tmp_path / "served.key"

    authority.install("before", cert, key)
    gate = start_tidegate(front_1mb, {"server": {"tls_cert": str(cert), "tls_key": str(key)}})
    context = authority.client()
    assert shown(gate, context) == "CN=before"
    authority.install("after", cert, key)
    assert shown(gate, context) == "CN=before"
    reload(gate)
    assert shown(gate, context) == "CN=after"

    for broken, content in ((cert, b"no certificate"), (key, authority.issue("another")[1].read_bytes())):
        good = broken.read_bytes()
        broken.write_bytes(content)
        assert str(broken) in reload(gate)
        assert shown(gate, context) == "CN=after"
        broken.write_bytes(good)
    authority.install("at-last", cert, key)
    assert "ERROR" not in reload(gate)
    assert shown(gate, context) == "CN=at-last"


def test_renewed_files_are_used_towards_filer_and_volume_servers(
    root: Path,
    front_secured: Front,
    objects: Catalogue,
    start_tidegate: StartTidegate,
    authority: Authority,
    tmp_path: Path,
) -> None:
    """A stranger's certificate is installed at first, which no server takes; then, without a restart, a good one."""
    thing = objects.sized(front_secured, Encryption.SSE_KMS, 300_000, "for-known-clients")
    cert, key, ca = tmp_path / "client.pem", tmp_path / "client.key", tmp_path / "ca.pem"
    files = {"CERT": cert, "KEY": key}
    env = {f"WEED_HTTPS_CLIENT_{name}": str(file) for name, file in files.items()}
    env["WEED_HTTPS_CLIENT_CA"] = str(ca)

    def install(issuer: Authority, believed: Authority) -> None:
        issuer.install("client-of-the-day", cert, key)
        ca.write_bytes(believed.ca.read_bytes())

    strangers = Authority(root / "reload-strangers", "strangers")
    install(strangers, authority)
    gate = start_tidegate(front_secured, security_of(front_secured), env=env, ready=False)
    assert read(gate, thing, **TOKEN).status in (502, 503)
    install(authority, strangers)
    reload(gate)
    assert read(gate, thing, **TOKEN).status in (502, 503), "a server of an authority that is not believed was believed"
    install(authority, authority)
    reload(gate)
    same_bytes(read(gate, thing, **TOKEN).body, thing.content)
    cert.write_text("gone")
    assert str(cert) in reload(gate)
    same_bytes(read(gate, thing, **TOKEN).body, thing.content)


def test_other_files_are_used_when_security_toml_names_others(
    root: Path, front_secured: Front, objects: Catalogue, start_tidegate: StartTidegate, authority: Authority, tmp_path: Path
) -> None:
    thing = objects.sized(front_secured, Encryption.SSE_KMS, 300_000, "for-files-that-are-named")
    said = {**signing_keys(), **tls(authority)}
    file = tmp_path / "security.toml"

    def name(cert: Path, key: Path, ca: Path) -> None:
        said["https"]["client"] |= {"cert": str(cert), "key": str(key), "ca": str(ca)}
        file.write_text(toml.dumps(said))

    name(*authority.issue("named"), authority.ca)
    gate = start_tidegate(front_secured, {"filer": {"security_toml": str(file)}})
    # Before any connection is made that could be used again.
    name(*authority.issue("named"), Authority(root / "named-strangers", "strangers").ca)
    assert "ERROR" not in reload(gate)
    assert read(gate, thing, **TOKEN).status in (502, 503)
    said["https"]["client"]["enabled"] = False
    file.write_text(toml.dumps(said))
    assert "not reloaded" not in reload(gate)
    assert read(gate, thing, **TOKEN).status in (502, 503), "servers that speak TLS were read from without"
    said["https"]["client"]["enabled"] = True
    name(*authority.issue("named"), authority.ca)
    assert "ERROR" not in reload(gate)
    same_bytes(read(gate, thing, **TOKEN).body, thing.content)
