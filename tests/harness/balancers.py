"""HAProxy and nginx in front of several tidegates, by the configurations in deploy/ with other addresses."""

import csv
import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from .listener import Listener, installed
from .nginx import nginx_binary
from .ports import HOST, free_port
from .tidegate import REPO, Tidegate

HAPROXY = REPO / "deploy/haproxy/haproxy.cfg"
NGINX = REPO / "deploy/nginx/tidegate.conf"
_PLACES = 3
"""Tidegates that the configurations in deploy/ name."""


def haproxy_binary() -> str:
    """The program."""
    return installed("haproxy", "haproxy")


class Balancer(Listener):
    """What hands on to tidegates."""


class HAProxy(Balancer):
    """HAProxy before three tidegates. Those that do not run yet are taken in when they do."""

    def __init__(self, root: Path, gates: Sequence[Tidegate]) -> None:
        assert len(gates) == _PLACES
        root.mkdir(parents=True)
        self.port, self.s3_port = free_port(), free_port()
        text = HAPROXY.read_text()
        text = re.sub(r"^ *(user|group) .*\n", "", text, flags=re.MULTILINE)
        text = text.replace("maxconn 20000", "maxconn 2000")  # needs no more files than a test may open
        text = text.replace("/run/haproxy/admin.sock", str(root / "admin.sock"))
        text = text.replace("bind :8880", f"bind {HOST}:{self.port}").replace("bind :8870", f"bind {HOST}:{self.s3_port}")
        for number, gate in enumerate(gates, start=1):
            admin = gate.admin.rpartition(":")[2]
            text = text.replace(f"10.0.0.1{number}:8880", f"{gate.listen} port {admin}")
            text = text.replace(f"10.0.0.1{number}:8870", f"{getattr(gate, 's3_listen', gate.listen)} port {admin}")
        self._socket = root / "admin.sock"
        configuration = root / "haproxy.cfg"
        configuration.write_text(text)
        super().__init__("haproxy", [haproxy_binary(), "-db", "-f", configuration], root / "haproxy.log")

    @property
    def s3_url(self) -> str:
        """Where it listens for S3."""
        return f"http://{HOST}:{self.s3_port}"

    def ready(self, backend: str = "tidegates") -> int:
        """How many tidegates of a backend it has found ready."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(5)
            admin.connect(str(self._socket))
            admin.sendall(b"show stat\n")
            said = b"".join(iter(lambda: admin.recv(1 << 16), b"")).decode()
        rows = list(csv.DictReader(said.removeprefix("# ").splitlines()))
        up = {row["svname"] for row in rows if row["pxname"] == backend and row["check_status"] == "L7OK"}
        return len(up & {f"tidegate{number}" for number in range(1, _PLACES + 1)})


class Nginx(Balancer):
    """nginx before so many of three tidegates."""

    def __init__(self, root: Path, gates: Sequence[Tidegate]) -> None:
        root.mkdir(parents=True)
        root.chmod(0o777)
        self.port = free_port()
        self._root = root
        temporary = "".join(
            f"{name}_temp_path {root}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (root / "nginx.conf").write_text(
            f"daemon off;\npid {root}/pid;\nerror_log stderr warn;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{temporary}include {root}/tidegate.conf;\n}}\n"
        )
        self._write(gates)
        argv = [nginx_binary(), "-p", root, "-c", root / "nginx.conf", "-e", "stderr"]
        super().__init__("nginx", argv, root / "nginx.log")

    def hand_to(self, gates: Sequence[Tidegate]) -> None:
        """A new list, and `nginx -s reload`."""
        self._write(gates)
        self.signal(signal.SIGHUP)

    def _write(self, gates: Sequence[Tidegate]) -> None:
        text = NGINX.read_text().replace("listen 8880;", f"listen {HOST}:{self.port};")
        for number in range(1, _PLACES + 1):
            if number <= len(gates):
                text = text.replace(f"10.0.0.1{number}:8880", gates[number - 1].listen)
            else:
                text = re.sub(rf"^ *server 10\.0\.0\.1{number}:.*\n", "", text, flags=re.MULTILINE)
        (self._root / "tidegate.conf").write_text(text)
