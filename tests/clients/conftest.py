"""A SeaweedFS, tidegate's S3 front before its gateway, and programs that are started as people start them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Front, Kms, Payload, Tidegate  # noqa: E402
from harness.s3 import ACCESS_KEY, SECRET_KEY  # noqa: E402

REPO = Path(__file__).resolve().parents[2]
PROGRAMS = Path(os.environ.get("TIDEGATE_CLIENTS", REPO / ".venv-clients")) / "bin"
"""Where the clients are: `make s3-clients` puts them there."""
MIB = 1 << 20


@dataclass(frozen=True)
class Shop:
    """What a client needs: where to ask, a bucket, a directory of its own."""

    gate: Tidegate
    front: Front
    bucket: str
    directory: Path

    @property
    def url(self) -> str:
        """The endpoint."""
        return self.gate.s3_url

    def file(self, name: str, size: int) -> Path:
        """A new file."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Payload(name, size).bytes())
        return path

    def run(self, program: str, *arguments: str | Path, **environment: str) -> bytes:
        """Runs a client to its end and answers what it printed."""
        settings = {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(self.directory),
            "PATH": os.environ["PATH"],
            "ENDPOINT": self.url,
            "BUCKET": self.bucket,
            **environment,
        }
        found = PROGRAMS / program
        argv = [str(found) if found.exists() else program, *map(str, arguments)]
        ran = subprocess.run(argv, capture_output=True, timeout=120, cwd=self.directory, env=settings)
        assert ran.returncode == 0, f"{argv}: {ran.stdout[-2000:]!r} {ran.stderr[-4000:]!r}"
        return ran.stdout

    def script(self, text: str) -> bytes:
        """Runs a Python program with the libraries of the clients."""
        return self.run("python", "-c", text)

    @contextmanager
    def served(self, at_least: int) -> Iterator[None]:
        """What happens within is served by tidegate, and not only relayed."""

        def count() -> float:
            return self.gate.metrics().sum("tidegate_s3_served_total")

        before = count()
        yield
        assert count() - before >= at_least


@pytest.fixture(scope="session")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Tidegate, Kms]]:
    root = tmp_path_factory.mktemp("seaweedfs")
    with ExitStack() as stack:
        kms = Kms(root / "kms")
        stack.callback(kms.stop)
        kms.start()
        cluster = Cluster(root / "cluster", kms=kms)
        stack.callback(cluster.stop)
        cluster.start()
        front = cluster.add_front("clients", maxMB=1)
        gate = Tidegate(root, {**front.tidegate_config(), "s3": {"gateway": [front.gateway.url]}})
        stack.callback(gate.stop, 2.0)
        gate.start()
        yield front, gate, kms


@pytest.fixture
def shop(
    _front: tuple[Front, Tidegate, Kms], request: pytest.FixtureRequest, tmp_path: Path
) -> Shop:
    """A bucket of the test's own, which encrypts everything with a key of the KMS unless it is told otherwise."""
    front, gate, kms = _front
    bucket = request.node.name.removeprefix("test_").replace("_", "-")[:60].strip("-")
    front.s3.create_bucket(bucket)
    by_default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms.key_id}
    front.s3.client.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_default}]},
    )
    return Shop(gate, front, bucket, tmp_path)
