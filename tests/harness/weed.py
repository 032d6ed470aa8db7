"""The command lines of SeaweedFS's servers, and how each is asked whether it is ready."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import wire
from .ports import GRPC_OFFSET, HOST, free_port
from .process import Process


def weed_binary() -> str:
    """The weed binary: $WEED_BIN, or the one beside this Python, or the one on the PATH."""
    beside = Path(sys.executable).parent / "weed"
    found = os.environ.get("WEED_BIN") or (str(beside) if beside.exists() else shutil.which("weed"))
    if not found:
        raise FileNotFoundError("no weed binary: run `make venv`, or set WEED_BIN to one")
    return found


class WeedServer(Process):
    """One weed process with an HTTP port and a gRPC port 10000 above it. An option that is None is not given."""

    scheme = "http"

    def __init__(self, name: str, command: str, root: Path, options: dict[str, object], env: dict[str, str]) -> None:
        self.host = HOST
        self.port = free_port(with_grpc=True)
        self.grpc_port = self.port + GRPC_OFFSET
        given = {"port": self.port, "port.grpc": self.grpc_port, "ip": HOST, "ip.bind": HOST, **options}
        argv = [weed_binary(), "-logtostderr=true", f"-config_dir={root}", command]
        argv += [f"-{option}={value}" for option, value in given.items() if value is not None]
        super().__init__(name, argv, root / "log" / f"{name}.log", env)

    @property
    def address(self) -> str:
        """host:port of the HTTP side, as weed writes it when gRPC is at its default."""
        return f"{self.host}:{self.port}"

    @property
    def full_address(self) -> str:
        """host:port.grpcPort, weed's spelling for any gRPC port."""
        return f"{self.host}:{self.port}.{self.grpc_port}"

    @property
    def url(self) -> str:
        """The HTTP address as a URL."""
        return f"{self.scheme}://{self.address}"


def master(root: Path, options: dict[str, object], env: dict[str, str]) -> WeedServer:
    """A lone master. `peers=none` spares it the wait for others."""
    directory = root / "master"
    directory.mkdir(parents=True)
    defaults = {"mdir": directory, "peers": "none", "volumeSizeLimitMB": 1024, "telemetry": "false"}
    return WeedServer("master", "master", root, {**defaults, **options}, env)


def volume(root: Path, index: int, master_address: str, options: dict[str, object], env: dict[str, str]) -> WeedServer:
    """The volume server number `index`, counted from 0, each in a rack of its own."""
    directory = root / f"volume{index}"
    directory.mkdir(parents=True)
    defaults = {
        "dir": directory,
        "master": master_address,
        "max": 2000,  # each bucket is a collection, and has seven volumes of its own
        "rack": f"rack{index}",
        "preStopSeconds": 0,
        "volume.allowUntrustedRemoteEndpoints": "true",  # or it copies no volume from a loopback address
    }
    return WeedServer(f"volume{index}", "volume", root, {**defaults, **options}, env)


def filer(root: Path, name: str, master_address: str, options: dict[str, object], env: dict[str, str]) -> WeedServer:
    """A filer with an embedded store of its own, in a filer group of its own: it shares nothing with other filers."""
    directory = root / name
    directory.mkdir(parents=True)
    defaults = {
        "master": master_address,
        "defaultStoreDir": directory,
        "filerGroup": name,
        "localSocket": directory / "filer.sock",
    }
    return WeedServer(name, "filer", root, {**defaults, **options}, env)


def s3(
    root: Path, name: str, filer_address: str, iam: dict[str, object], options: dict[str, object], env: dict[str, str]
) -> WeedServer:
    """An S3 gateway on a filer, with its identities and KMS providers in a JSON file."""
    directory = root / name
    directory.mkdir(parents=True)
    config = directory / "s3.json"
    config.write_text(json.dumps(iam, indent=2))
    defaults = {
        "filer": filer_address,
        "config": config,
        "localSocket": directory / "s3.sock",
        "port.iceberg": 0,
        "port.lance": 0,
    }
    return WeedServer(name, "s3", root, {**defaults, **options}, env)


def shell(master_address: str, *commands: str, filer: str = "", timeout: float = 60.0) -> str:
    """Runs commands in `weed shell`, under its lock, and answers what it printed. `filer` (host:port.grpcPort) is needed
    by those that begin with `fs.`.

    The shell's exit code is 0 whatever happened; a command that failed says `error:`, and raises RuntimeError here.
    """
    argv = [weed_binary(), "shell", f"-master={master_address}", *([f"-filer={filer}"] if filer else [])]
    typed = "\n".join(["lock", *commands, "unlock", "exit", ""])
    ran = subprocess.run(argv, input=typed, capture_output=True, text=True, timeout=timeout)
    said = ran.stdout + ran.stderr
    if ran.returncode != 0 or "error:" in said:
        raise RuntimeError(f"weed shell: {commands}: {said}")
    return said


def answers(url: str) -> bool:
    """Whether an HTTP server answers there, whatever it says short of a server error."""
    return wire.request("GET", url, timeout=2).status < 500


def volumes_known(master_url: str, count: int) -> bool:
    """Whether the master has heard from that many volume servers."""
    answer = wire.request("GET", f"{master_url}/dir/status", timeout=2)
    if answer.status != 200:
        return False
    centers = json.loads(answer.body)["Topology"].get("DataCenters") or []
    nodes = [node for center in centers for rack in center["Racks"] or [] for node in rack["DataNodes"] or []]
    return len(nodes) >= count
