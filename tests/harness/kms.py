"""A KMS that speaks AWS's protocol (moto), with a doorman in front that counts what is asked of it.

The S3 gateway talks to moto itself and tidegate to the doorman, so the counts are tidegate's alone.
"""

import json
import sys
import threading
from collections import Counter
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3

from . import wire
from .ports import HOST, free_port
from .process import Process

REGION = "us-east-1"
ACCESS_KEY = "kms-access"
SECRET_KEY = "kms-secret"


class Kms:
    """moto's KMS in a process of its own, and a counting reverse proxy in a thread."""

    def __init__(self, root: Path) -> None:
        self.port = free_port()
        self._process = self._server(root / "log" / "kms.log")
        self._doorman = _Doorman(self.endpoint)
        self.key_id = ""

    def _server(self, log: Path) -> Process:
        argv = [sys.executable, "-m", "moto.server", "-H", HOST, "-p", self.port]
        return Process("kms", [str(arg) for arg in argv], log)

    @property
    def endpoint(self) -> str:
        """moto itself: what the S3 gateway is given."""
        return f"http://{HOST}:{self.port}"

    @property
    def counted_endpoint(self) -> str:
        """The doorman: what tidegate is given."""
        return f"http://{HOST}:{self._doorman.server_port}"

    def start(self) -> None:
        """Starts both and creates the first key."""
        self._process.start()
        self._process.wait_ready(lambda: wire.request("GET", f"{self.endpoint}/moto-api/", timeout=2).status < 500)
        threading.Thread(target=self._doorman.serve_forever, name="kms-doorman", daemon=True).start()
        self.key_id = self.create_key()

    def stop(self) -> None:
        """Ends both."""
        self._doorman.shutdown()
        self._doorman.server_close()
        self._process.stop()

    def create_key(self) -> str:
        """A new symmetric key; answers its id."""
        return self.client().create_key(Description="for tests")["KeyMetadata"]["KeyId"]

    def client(self):
        """A client of moto itself."""
        return boto3.client(
            "kms",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )
    def calls(self, operation: str = "Decrypt") -> int:
        """How often the doorman was asked for an operation since the start."""
        return self._doorman.counts[operation]

    def fail_next(self, count: int, status: int, code: str, message: str = "as the test wants it") -> None:
        """Has the doorman refuse the next `count` requests by itself."""
        body = json.dumps({"__type": f"com.amazonaws.kms#{code}", "message": message}).encode()
        self._doorman.faults[:] = [(status, body)] * count

    def behave(self) -> None:
        """Ends what `fail_next` began."""
        self._doorman.faults.clear()

    def gateway_block(self) -> dict[str, object]:
        """The `kms` block of the S3 gateway's JSON configuration."""
        return {"default_provider": "main", "providers": {"main": self._provider(self.endpoint)}}

    def tidegate_block(self) -> dict[str, object]:
        """The same for tidegate, through the doorman."""
        return {"default_provider": "main", "providers": {"main": self._provider(self.counted_endpoint)}}

    @staticmethod
    def _provider(endpoint: str) -> dict[str, object]:
        return {
            "type": "aws",
            "region": REGION,
            "endpoint": endpoint,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
        }


class StrictKms(Kms):
    """The same with ministack in moto's place, which minds whether a key is disabled; moto decrypts all the same."""

    def _server(self, log: Path) -> Process:
        env = {"BIND_HOST": HOST, "GATEWAY_PORT": str(self.port), "SERVICES": "kms"}
        return Process("strict-kms", [sys.executable, "-m", "ministack"], log, env)


class _Doorman(ThreadingHTTPServer):
    """Hands every request on to `upstream` and counts them by operation."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.counts: Counter[str] = Counter()
        self.faults: list[tuple[int, bytes]] = []
        super().__init__((HOST, 0), _Relay)


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Doorman

    def do_POST(self) -> None:
        """KMS knows only POST; the operation is in X-Amz-Target as `TrentService.<operation>`."""
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        self.server.counts[operation] += 1
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        try:
            status, said = self.server.faults.pop()
            answer = wire.Answer(status, HTTPMessage(), said)
        except IndexError:
            answer = wire.request("POST", self.server.upstream + self.path, dict(self.headers.items()), body)
        self.send_response(answer.status)
        for name in ("Content-Type", "x-amzn-RequestId", "x-amzn-ErrorType"):
            if value := answer.header(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: moto keeps a log of its own."""
