"""What the benches begin with: a SeaweedFS with the object to read, and tidegates before it. All end with the bench.

Importing it lets the tests' `harness` be imported.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "tests"))
# A build for tests is several times slower.
os.environ.setdefault("TIDEGATE_BIN", str(REPO / "target/release/tidegate"))

from harness import Cluster, CustomerKey, Encryption, Front, Tidegate  # noqa: E402
from harness.s3 import sse_arguments  # noqa: E402
from harness.scratch import scratch  # noqa: E402
from harness.weed import shell  # noqa: E402

BUCKET = "bench"
KEY = CustomerKey.from_seed("bench")


@dataclass
class Setting:
    """The servers of one bench. An object is named after its encryption."""

    root: Path
    cluster: Cluster
    front: Front

    def write(self, content: bytes, *encryptions: Encryption) -> None:
        """The object, once with each of these encryptions."""
        self.front.s3.create_bucket(BUCKET)
        for encryption in encryptions:
            self.front.s3.put(BUCKET, encryption.value, content, **sse_arguments(encryption, customer_key=KEY))

    def erasure_code(self, collection: str) -> None:
        """Erasure-codes what is stored of a collection."""
        volumes = {path.name.split("_")[1].split(".")[0] for path in self.root.rglob(f"{collection}_*.dat")}
        commands = [f"ec.encode -collection={collection} -volumeId={volume} -force" for volume in volumes]
        shell(self.cluster.master.full_address, *commands, filer=self.front.filer.full_address, timeout=600)
        if any(self.root.rglob(f"{collection}_*.dat")):
            raise RuntimeError("a volume is not erasure-coded: is there enough free disk?")

    def tidegate(self, name: str = "tidegate", front: Front | None = None, **tables: object) -> Tidegate:
        """A tidegate with more tables in its configuration, started, and following the filer, so that entries are kept."""
        gate = Tidegate(self.root, {**(front or self.front).tidegate_config(), **tables}, name=name)
        gate.start()
        gate.wait_ready(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, timeout=30)
        return gate

    def at_filer(self, encryption: Encryption) -> str:
        """Where the filer has the object."""
        return self.front.filer_url(BUCKET, encryption.value)

    def at_gateway(self, encryption: Encryption) -> str:
        """Where the S3 gateway has it."""
        return self.front.gateway_url(BUCKET, encryption.value)

    @staticmethod
    def at(gate: Tidegate, encryption: Encryption) -> str:
        """Where a tidegate has it."""
        return gate.object_url(BUCKET, encryption.value)


@contextmanager
def start(name: str, *, cluster: dict[str, object] | None = None, **filer_options: object) -> Iterator[Setting]:
    """A cluster with options of its own, and a filer with its options (`maxMB=4`)."""
    with scratch(name) as root:
        servers = Cluster(root / "cluster", **(cluster or {}))
        try:
            servers.start()
            yield Setting(root, servers, servers.add_front(name, **filer_options))
        finally:
            servers.stop()
