"""The servers that are compared: one cluster, filers of three settings, and a tidegate before each."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Front, Kek, Kms, Tidegate  # noqa: E402

from compare import Pair  # noqa: E402
from files import Writer  # noqa: E402
from filer_rpc import FilerRpc  # noqa: E402

SETTINGS: dict[str, dict[str, object]] = {
    "plain": {"maxMB": 1},
    "inline": {"maxMB": 1, "saveToFilerLimit": 2000},
    "sealed": {"maxMB": 1, "encryptVolumeData": "true"},
}


@pytest.fixture(scope="session")
def stack() -> Iterator[ExitStack]:
    """Ends what was started, last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all servers keep their data and logs."""
    return tmp_path_factory.mktemp("differential")


@pytest.fixture(scope="session")
def cluster(root: Path, stack: ExitStack) -> Cluster:
    """The cluster of all files."""
    kms = Kms(root / "kms")
    kms.start()
    stack.callback(kms.stop)
    servers = Cluster(root / "cluster", kms=kms)
    stack.callback(servers.stop)
    servers.start()
    return servers


@pytest.fixture(scope="session")
def fronts(cluster: Cluster) -> dict[str, Front]:
    """The filers by name."""
    kek = Kek.from_key("a secret of the compared files")
    return {name: cluster.add_front(name, kek=kek, **settings) for name, settings in SETTINGS.items()}


@pytest.fixture(scope="session")
def gates(root: Path, stack: ExitStack, fronts: dict[str, Front]) -> dict[str, Tidegate]:
    """The tidegates by the name of their filer."""
    started = {}
    for name, front in fronts.items():
        started[name] = Tidegate(root / "tidegate", front.tidegate_config(), name=f"tidegate-{name}")
        stack.callback(started[name].stop, 2.0)
        started[name].start()
    return started


@pytest.fixture(scope="session")
def narrow_gate(root: Path, stack: ExitStack, fronts: dict[str, Front]) -> Tidegate:
    """A tidegate that fetches next to nothing ahead and keeps no chunks, so that a slow client's file is mostly unread."""
    config = {**fronts["plain"].tidegate_config(), "prefetch": {"window": 2}, "cache": {"chunks": "off"}}
    gate = Tidegate(root / "tidegate", config, name="tidegate-narrow")
    stack.callback(gate.stop, 2.0)
    gate.start()
    return gate


@pytest.fixture(scope="session")
def writer(
    cluster: Cluster,
    fronts: dict[str, Front],
    gates: dict[str, Tidegate],
    narrow_gate: Tidegate,
    fronts_with_origins: tuple[Front, Tidegate],
    stack: ExitStack,
) -> Writer:
    """Writes the files. All servers run by then: grpc has threads, and nobody should fork beside them."""
    rpc = FilerRpc(fronts["plain"].filer)
    stack.callback(rpc.close)
    assert cluster.kms is not None
    return Writer(fronts, rpc, cluster, cluster.kms.key_id)


@pytest.fixture(scope="session")
def pairs(fronts: dict[str, Front], gates: dict[str, Tidegate], stack: ExitStack) -> dict[str, Pair]:
    """Filer and tidegate by the filer's name."""
    both = {name: Pair(front.filer.address, gates[name].listen) for name, front in fronts.items()}
    for pair in both.values():
        stack.callback(pair.close)
    return both


@pytest.fixture(scope="session")
def fronts_with_origins(cluster: Cluster, root: Path, stack: ExitStack) -> tuple[Front, Tidegate]:
    """A filer that allows two origins, and a tidegate that was told so."""
    origins = "https://a.example,https://b.example"
    (cluster.root / "security.toml").write_text(f'[cors.allowed_origins]\nvalues = "{origins}"\n')
    try:
        front = cluster.add_front("origins", maxMB=1)
    finally:
        (cluster.root / "security.toml").unlink()
    config = front.tidegate_config()
    filer = config["filer"]
    assert isinstance(filer, dict)
    filer["allowed_origins"] = origins
    gate = Tidegate(root / "tidegate", config, name="tidegate-origins")
    stack.callback(gate.stop, 2.0)
    gate.start()
    return front, gate
