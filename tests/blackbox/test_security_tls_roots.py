"""HTTPS to a cluster whose certificates come from an authority that the system believes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import StartTidegate
from harness import Front, Kms, request
from harness.authority import Authority
from harness.secured import secured_cluster


@pytest.fixture(scope="module")
def open_front(root: Path, kms: Kms, authority: Authority) -> Iterator[Front]:
    """A filer of a cluster that speaks HTTPS, and asks nobody for a certificate."""
    cert, key = map(str, authority.issue("open"))
    pair = {"cert": cert, "key": key, "disable_tls_verify_client_cert": True}
    https = {"client": {"enabled": True, "ca": str(authority.ca)}, "master": pair, "volume": pair, "filer": pair}
    with secured_cluster(root / "with-open-tls", {"https": https}, kms) as cluster:
        yield cluster.front


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not-trusted"])
def test_the_systems_authorities_are_believed_where_none_is_named(
    tmp_path: Path,
    root: Path,
    open_front: Front,
    start_tidegate: StartTidegate,
    authority: Authority,
    trusted: bool,
) -> None:
    """`https.client.enabled` and nothing else. What is the system's, OpenSSL's variable says here."""
    content = b"over HTTPS" * 1000
    assert request("PUT", open_front.filer.url + "/system-roots", body=content).status == 201
    security = tmp_path / "security.toml"
    security.write_text("[https.client]\nenabled = true\n")
    roots = authority.ca if trusted else Authority(root / "nobody's", "nobody").ca
    config = {"filer": {"security_toml": str(security)}}
    gate = start_tidegate(open_front, config, env={"SSL_CERT_FILE": str(roots), "SSL_CERT_DIR": None}, ready=trusted)
    answer = request("GET", gate.url + "/system-roots")
    relayed = request("GET", gate.url + "/system-roots?metadata=true")
    if trusted:
        assert (answer.status, answer.body, relayed.status) == (200, content, 200)
    else:
        assert answer.status in (502, 503) and relayed.status in (502, 503)
