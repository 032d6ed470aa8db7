"""The two that are compared: a real S3 gateway, and a tidegate before it. One cluster for all of it."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Front, Kek, Kms, Tidegate  # noqa: E402
from harness.tidegate import merged  # noqa: E402

from people import DOMAIN, IDENTITIES, NO_DOMAIN  # noqa: E402
from sides import Sides  # noqa: E402


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
    """The KMS of both sides."""
    service = Kms(root / "kms")
    service.start()
    stack.callback(service.stop)
    return service


@pytest.fixture(scope="session")
def front(root: Path, kms: Kms, stack: ExitStack) -> Front:
    """A filer, and a gateway that knows several people and one domain."""
    cluster = Cluster(root / "cluster", kms=kms, identities=IDENTITIES)
    stack.callback(cluster.stop)
    cluster.start()
    kek = Kek.from_key("a secret of the S3 front")
    return cluster.add_front("s3", kek=kek, gateway={"domainName": DOMAIN, "iam.readOnly": "false"}, maxMB=1)


@pytest.fixture(scope="session")
def gate(root: Path, front: Front, stack: ExitStack) -> Tidegate:
    """A tidegate that believes the gateway of one domain, and names another that the gateway does not know."""
    s3 = {"s3": {"gateway": [front.gateway.url], "domains": [DOMAIN, NO_DOMAIN]}}
    started = Tidegate(root / "tidegate", merged(front.tidegate_config("none"), s3))
    stack.callback(started.stop, 2.0)
    started.start()
    return started


@pytest.fixture(scope="session")
def sides(front: Front, gate: Tidegate) -> Sides:
    """Both, to be asked the same."""
    return Sides(front, gate)
