"""The servers that all black-box tests share, started when the first test asks for them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Front, Kek, Kms, Tidegate  # noqa: E402
from harness.authority import Authority  # noqa: E402
from harness.secured import secured_cluster, signing_keys, tls  # noqa: E402
from harness.tidegate import merged  # noqa: E402
from harness.wire import trust  # noqa: E402

from catalogue import Catalogue  # noqa: E402
from harness.relay import Behaviour  # noqa: E402
from pairs import Breakable  # noqa: E402

StartTidegate = Callable[..., Tidegate]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all servers keep their data and logs."""
    return tmp_path_factory.mktemp("seaweedfs")


@pytest.fixture(scope="session")
def kms(root: Path) -> Iterator[Kms]:
    """The KMS of all clusters."""
    service = Kms(root / "kms")
    service.start()
    yield service
    service.stop()


@pytest.fixture(scope="session")
def cluster(root: Path, kms: Kms) -> Iterator[Cluster]:
    """The cluster of all tests that don't break one."""
    servers = Cluster(root / "cluster", kms=kms)
    with ExitStack() as stack:
        stack.callback(servers.stop)
        servers.start()
        yield servers


@pytest.fixture(scope="session")
def front_1mb(cluster: Cluster) -> Front:
    """A filer and a gateway that cut chunks of 1 MiB; the SSE-S3 key is configured."""
    return cluster.add_front("1mb", kek=Kek.from_key("a secret any string will do"), maxMB=1)


@pytest.fixture(scope="session")
def front_4mb(cluster: Cluster) -> Front:
    """The same with chunks of 4 MiB; the SSE-S3 key is in the filer."""
    return cluster.add_front("4mb", kek=Kek.in_filer("4mb"), maxMB=4)


@pytest.fixture(scope="session")
def sealing(cluster: Cluster) -> Front:
    """A filer that seals what it stores in chunks of 1 MiB, and a gateway that does so too."""
    kek = Kek.from_key("of the sealing front")
    seals = {"encryptVolumeData": "true"}
    return cluster.add_front("sealing", kek=kek, gateway=seals, maxMB=1, **seals)


@pytest.fixture(scope="session", params=["1mb", "4mb"])
def front(request: pytest.FixtureRequest) -> Front:
    """Both fronts, one after the other."""
    return request.getfixturevalue(f"front_{request.param}")


@pytest.fixture(scope="session")
def authority(root: Path) -> Authority:
    """Whom secured servers have their certificates from, and the tests too."""
    made = Authority(root / "authority")
    trust(made.client(made.issue("tests")))
    return made


@pytest.fixture(scope="session")
def front_secured(root: Path, kms: Kms, authority: Authority) -> Iterator[Front]:
    """A filer and a gateway of a cluster with TLS on everything and all four signing keys."""
    with secured_cluster(root / "secured", {**signing_keys(), **tls(authority)}, kms) as cluster:
        yield cluster.front


@pytest.fixture(scope="session")
def objects(kms: Kms) -> Catalogue:
    """Objects of every kind, written when they are first asked for."""
    return Catalogue(kms)


@contextmanager
def _breakable(root: Path, volumes: int, replication: str) -> Iterator[Breakable]:
    lines = [Behaviour() for _ in range(volumes)]
    # A server asked for a volume that it does not have says so, instead of fetching it from the one that has it.
    local = {"readMode": "local"}
    apart = replication == "100"
    cluster = Cluster(
        root,
        volumes=volumes,
        replication=replication,
        volume_relay=lines,
        volume_options=local,
        data_centers=apart,
    )
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        yield Breakable.started(cluster, lines)


@pytest.fixture(scope="session")
def _pair(root: Path) -> Iterator[Breakable]:
    with _breakable(root / "pair", 2, "100") as made:
        yield made


@pytest.fixture(scope="session")
def _lone(root: Path) -> Iterator[Breakable]:
    with _breakable(root / "lone", 1, "000") as made:
        yield made


@pytest.fixture(scope="session")
def _spread(root: Path) -> Iterator[Breakable]:
    with _breakable(root / "spread", 2, "000") as made:
        yield made


@pytest.fixture
def pair(_pair: Breakable) -> Iterator[Breakable]:
    """Two volume servers, in two data centers, with a copy of every chunk on both. Mended after each test."""
    yield _pair
    _pair.mend()


@pytest.fixture
def lone(_lone: Breakable) -> Iterator[Breakable]:
    """One volume server with the only copy. Mended after each test."""
    yield _lone
    _lone.mend()


@pytest.fixture
def spread(_spread: Breakable) -> Iterator[Breakable]:
    """Two volume servers, each chunk on one of them. Mended after each test."""
    yield _spread
    _spread.mend()


def make_starter(root: Path, stack: ExitStack, prefix: str) -> StartTidegate:
    """Starts tidegates that end with `stack`."""
    count = 0

    def start(
        front: Front,
        change: dict[str, object] | None = None,
        *,
        without: str = "",
        ready: bool = True,
        **options: object,
    ) -> Tidegate:
        nonlocal count
        count += 1
        config = merged(front.tidegate_config(), change or {})
        config.pop(without, None)
        gate = Tidegate(root / "tidegate", config, name=f"{prefix}{count}", **options)
        stack.callback(gate.stop, 2.0)
        gate.start(ready=ready)
        return gate

    return start


@pytest.fixture(scope="session")
def gates(root: Path) -> Iterator[dict[str, Tidegate]]:
    """The tidegates that tests share, one for each front, by the front's name."""
    with ExitStack() as stack:
        start = make_starter(root, stack, "shared")

        class Gates(dict[str, Tidegate]):
            def of(self, front: Front) -> Tidegate:
                if front.name not in self:
                    self[front.name] = start(front)
                return self[front.name]

        yield Gates()


@pytest.fixture
def gate(front: Front, gates) -> Tidegate:
    """The shared tidegate of `front`."""
    return gates.of(front)


@pytest.fixture
def gate_1mb(front_1mb: Front, gates) -> Tidegate:
    """The shared tidegate of `front_1mb`."""
    return gates.of(front_1mb)


@pytest.fixture(scope="module")
def start_shared(root: Path, request: pytest.FixtureRequest) -> Iterator[StartTidegate]:
    """Starts tidegates that the tests of one file share."""
    with ExitStack() as stack:
        yield make_starter(root, stack, f"{request.module.__name__}-")


@pytest.fixture
def start_tidegate(root: Path, request: pytest.FixtureRequest) -> Iterator[StartTidegate]:
    """Starts a tidegate for this test alone: `start_tidegate(front, {"access": {"managed_keys": "none"}})`.

    `without` names a table to leave out; without `ready` nobody waits until it is.
    """
    with ExitStack() as stack:
        name = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
        yield make_starter(root, stack, f"{name}-")
