"""A refusal that is given while the upload still arrives reaches the client, whatever it does first: tidegate's own, and the
filer's that is relayed."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from conftest import StartTidegate
from harness import Front, Tidegate
from harness.authority import Authority
from harness.secured import security_of

SIZE = 24 << 20
TRIES = 5
REFUSED = "/early?" + "&" * 10_001  # more parameters than are read
# The filer looks for the source, does not find it, and never reads the body.
REFUSED_BY_FILER = "/early?mv.from=/nowhere/at/all"
VERSIONS = ["--http1.1", "--http2-prior-knowledge"]


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is sent."""
    file = tmp_path_factory.mktemp("early") / "upload"
    file.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
    return file


@pytest.fixture(scope="module")
def secure(front_secured: Front, start_shared: StartTidegate, authority: Authority) -> str:
    """The URL of a tidegate that speaks TLS, before a filer that refuses whoever has no token."""
    cert, key = authority.issue("early")
    server = {"tls_cert": str(cert), "tls_key": str(key)}
    gate = start_shared(front_secured, {**security_of(front_secured), "server": server})
    return gate.url.replace("http://", "https://")


def seen(url: str, upload: Path, *options: str) -> list[tuple[str, int, str]]:
    """What curl sees that uploads there some times: version and status, its exit code, and what it complains of."""
    curl = shutil.which("curl")
    assert curl, "curl is not installed"
    asked = [curl, "-sS", "-H", "Expect:", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    argv = [*asked, *options, "-T", str(upload), url]
    ran = [subprocess.run(argv, capture_output=True, text=True, timeout=60) for _ in range(TRIES)]
    return [(one.stdout, one.returncode, one.stderr) for one in ran]


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_sees_a_refusal_in_the_middle_of_its_upload(gate_1mb: Tidegate, upload: Path, version: str) -> None:
    number = "1.1" if version == "--http1.1" else "2"
    assert seen(gate_1mb.url + REFUSED, upload, version) == TRIES * [(f"{number} 400", 0, "")]


@pytest.mark.parametrize("version", VERSIONS)
def test_curl_sees_the_filers_refusal_in_the_middle_of_its_upload(
    gate_1mb: Tidegate, upload: Path, version: str
) -> None:
    number = "1.1" if version == "--http1.1" else "2"
    assert seen(gate_1mb.url + REFUSED_BY_FILER, upload, version) == TRIES * [(f"{number} 400", 0, "")]


@pytest.mark.parametrize(("target", "status"), [(REFUSED, 400), ("/early", 401)], ids=["own", "filers"])
@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_sees_a_refusal_over_tls(
    secure: str, authority: Authority, upload: Path, version: str, target: str, status: int
) -> None:
    number = "1.1" if version == "--http1.1" else "2"
    answers = seen(secure + target, upload, version, "--cacert", str(authority.ca))
    assert answers == TRIES * [(f"{number} {status}", 0, "")]


@pytest.mark.parametrize("target", [REFUSED, REFUSED_BY_FILER], ids=["own", "filers"])
def test_who_sends_all_before_reading_sees_the_refusal(gate_1mb: Tidegate, upload: Path, target: str) -> None:
    host, _, port = gate_1mb.listen.rpartition(":")
    for _ in range(TRIES):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"PUT {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n".encode())
            connection.sendall(upload.read_bytes())
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
