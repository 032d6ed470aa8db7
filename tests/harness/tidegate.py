"""tidegate itself: its configuration written, its binary found, started, asked, ended."""

import copy
import os
import subprocess
from pathlib import Path

from . import metrics, toml, wire
from .ports import HOST, free_port
from .process import Process

BINARY_VARIABLE = "TIDEGATE_BIN"
REPO = Path(__file__).resolve().parents[2]


def tidegate_binary() -> Path:
    """The binary: $TIDEGATE_BIN, or the newer of target/debug/tidegate and target/release/tidegate."""
    if named := os.environ.get(BINARY_VARIABLE):
        if not Path(named).is_file():
            raise FileNotFoundError(f"TIDEGATE_BIN is {named}, but there is no such file")
        return Path(named)
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
    built = [path for path in (target / "debug/tidegate", target / "release/tidegate") if path.is_file()]
    if not built:
        raise FileNotFoundError("no tidegate binary: run `cargo build`, or set TIDEGATE_BIN to one")
    return max(built, key=lambda path: path.stat().st_mtime)


def run(*arguments: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the binary to its end, for `check`, `--version` and refused configurations."""
    argv = [str(tidegate_binary()), *map(str, arguments)]
    environment = {**os.environ, **(env or {})}
    environment.pop(BINARY_VARIABLE, None)  # ours: to tidegate it would be an unknown key
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, env=environment)


def merged(base: dict[str, object], change: dict[str, object]) -> dict[str, object]:
    """`base` with the keys of `change` laid over it, table by table."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        below = result.get(key)
        both = isinstance(value, dict) and isinstance(below, dict)
        result[key] = merged(below, value) if both else copy.deepcopy(value)  # type: ignore[arg-type]
    return result


class Tidegate(Process):
    """A running tidegate. `config` holds the tables of its TOML; the listen addresses are added here, that of the S3
    front where there is a table for it, and that the log is text, which people and tests read."""

    def __init__(
        self,
        root: Path,
        config: dict[str, object],
        *,
        name: str = "tidegate",
        host: str = HOST,
        env: dict[str, str] | None = None,
    ) -> None:
        self.port = free_port()
        self.listen = f"{host}:{self.port}"
        self.admin = f"{HOST}:{free_port()}"
        own: dict[str, object] = {
            "server": {"listen": self.listen, "admin": self.admin, "lame_duck": "0s"},
            "log": {"format": "text"},
        }
        if "s3" in config:
            self.s3_listen = f"{host}:{free_port()}"
            own["s3"] = {"listen": self.s3_listen}
        self.config = merged(own, config)
        self.config_file = root / f"{name}.toml"
        root.mkdir(parents=True, exist_ok=True)
        self.config_file.write_text(toml.dumps(self.config))
        argv = [tidegate_binary(), "--config", self.config_file]
        super().__init__(name, argv, root / "log" / f"{name}.log", {BINARY_VARIABLE: None, **(env or {})})

    @property
    def url(self) -> str:
        """The filer front, on loopback."""
        return f"http://{HOST}:{self.port}"

    @property
    def s3_url(self) -> str:
        """The S3 front."""
        return f"http://{self.s3_listen}"

    @property
    def admin_url(self) -> str:
        """Metrics and health."""
        return f"http://{self.admin}"

    def object_url(self, bucket: str, key: str) -> str:
        """Where the filer front has an object."""
        return f"{self.url}/buckets/{bucket}/{key}"

    def start(self, *, ready: bool = True) -> None:
        """Starts it and waits until it is ready to serve, or only until it listens."""
        super().start()
        path = "readyz" if ready else "healthz"
        self.wait_ready(lambda: wire.request("GET", f"{self.admin_url}/{path}", timeout=5).status == 200, timeout=20)

    def scrape(self) -> str:
        """The text at /metrics."""
        return wire.request("GET", f"{self.admin_url}/metrics").body.decode()

    def metrics(self) -> metrics.Metrics:
        """The same, read."""
        return metrics.parse(self.scrape())
