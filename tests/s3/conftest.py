"""The servers that are compared: one cluster, a gateway with identities, roles and a domain, and a tidegate before it."""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Front, Kek, Kms, Tidegate  # noqa: E402
from harness.ports import HOST, free_port  # noqa: E402

from bucket import Bucket  # noqa: E402
from issuer import Issuer  # noqa: E402
from objects import Writer  # noqa: E402
from people import DOMAIN, PeopledCluster, write_roles  # noqa: E402
from sides import Sides  # noqa: E402

ORACLE = "TIDEGATE_S3_ORACLE"
"""Set, the gateway is compared with itself: what differs then is the comparison's fault."""

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def stack() -> Iterator[ExitStack]:
    """Ends what was started, last first."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all servers keep their data and logs."""
    return tmp_path_factory.mktemp("s3")


@pytest.fixture(scope="session")
def kms(root: Path, stack: ExitStack) -> Kms:
    """The KMS of the gateway, and of tidegate through a doorman that counts."""
    service = Kms(root / "kms")
    service.start()
    stack.callback(service.stop)
    return service


@pytest.fixture(scope="session")
def cluster(root: Path, kms: Kms, stack: ExitStack) -> Cluster:
    """The cluster of all files. Its gateways believe what 127.0.0.1 says of the addresses of clients."""
    # Each bucket takes volumes of its own.
    servers = PeopledCluster(root / "cluster", kms=kms, volume_options={"max": 2000})
    (servers.root / "security.toml").write_text(f'[s3.trusted_proxies]\nwhite_list = "{HOST}"\n')
    stack.callback(servers.stop)
    servers.start()
    return servers


@pytest.fixture(scope="session")
def issuer(stack: ExitStack) -> Issuer:
    """Whose tokens the gateway takes."""
    made = Issuer()
    stack.callback(made.stop)
    made.start()
    return made


@pytest.fixture(scope="session")
def front(cluster: Cluster, root: Path, issuer: Issuer) -> Front:
    """The filer and the gateway on it."""
    write_roles(root / "roles.json", issuer)
    gateway = {"domainName": DOMAIN, "iam.config": root / "roles.json", "iam.readOnly": "false"}
    return cluster.add_front("s3", kek=Kek.from_key("a secret of the S3 front"), gateway=gateway, maxMB=1)


@pytest.fixture(scope="session")
def start_gate(front: Front, root: Path, stack: ExitStack) -> Callable[..., tuple[Tidegate, str]]:
    """Starts a tidegate before the gateway, or before other addresses; answers it and where it listens for S3."""
    count = 0

    def start(*gateways: str) -> tuple[Tidegate, str]:
        nonlocal count
        count += 1
        listen = f"{HOST}:{free_port()}"
        config = front.tidegate_config(managed_keys="none")
        filer = config["filer"]
        assert isinstance(filer, dict)
        filer["security_toml"] = str(root / "cluster" / "security.toml")
        config["s3"] = {"listen": listen, "gateway": list(gateways) or [front.gateway.url], "domains": [DOMAIN]}
        gate = Tidegate(root / "tidegate", config, name=f"tidegate-s3-{count}")
        stack.callback(gate.stop, 2.0)
        gate.start()
        return gate, listen

    return start


@pytest.fixture(scope="session")
def gate(start_gate: Callable[..., tuple[Tidegate, str]]) -> tuple[Tidegate | None, str]:
    """The tidegate of all files, and where it listens for S3."""
    return start_gate()


@pytest.fixture(scope="session")
def listen(front: Front, request: pytest.FixtureRequest) -> str:
    """Where S3 clients find tidegate."""
    return front.gateway.address if os.environ.get(ORACLE) else request.getfixturevalue("gate")[1]


@pytest.fixture(scope="session")
def sides(front: Front, listen: str, stack: ExitStack) -> Sides:
    """Both, asked from 127.0.0.1."""
    both = Sides(front.gateway.address, listen)
    stack.callback(both.close)
    return both


@pytest.fixture(scope="session")
def writer(front: Front, kms: Kms, sides: Sides) -> Writer:
    """Writes the objects, at the gateway."""
    return Writer(front.s3.client, kms.key_id)


@pytest.fixture(scope="session")
def cases(sides: Sides) -> Bucket:
    """The bucket that LIMITED and the role know. It has no policy."""
    return Bucket(sides, "cases").create()


@pytest.fixture
def bucket(sides: Sides) -> Bucket:
    """A bucket for this test alone."""
    return Bucket(sides, f"bucket-{next(_numbers)}").create()


@pytest.fixture
def versioned(sides: Sides) -> Bucket:
    """The same with versions."""
    return Bucket(sides, f"bucket-{next(_numbers)}").create(versioned=True)
