"""A refusal that is given while the upload still arrives reaches the client, whatever it does first."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from harness import Tidegate

SIZE = 24 << 20
REFUSED = "/early?" + "&" * 10_001  # more parameters than are read


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is sent."""
    file = tmp_path_factory.mktemp("early") / "upload"
    file.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
    return file


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_sees_a_refusal_in_the_middle_of_its_upload(gate_1mb: Tidegate, upload: Path, version: str) -> None:
    curl = shutil.which("curl")
    assert curl, "curl is not installed"
    argv = [curl, "-sS", version, "-H", "Expect:", "-o", "/dev/null", "-w", "%{http_code}", "-T", str(upload)]
    for _ in range(5):
        ran = subprocess.run([*argv, gate_1mb.url + REFUSED], capture_output=True, text=True, timeout=60)
        assert (ran.stdout, ran.returncode) == ("400", 0), ran.stderr


def test_who_sends_all_before_reading_sees_the_refusal(gate_1mb: Tidegate, upload: Path) -> None:
    host, _, port = gate_1mb.listen.rpartition(":")
    for _ in range(5):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"PUT {REFUSED} HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n".encode())
            connection.sendall(upload.read_bytes())
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
