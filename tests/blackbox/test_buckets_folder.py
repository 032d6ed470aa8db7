"""A filer that keeps buckets elsewhere than in /buckets: the same bytes by S3 from tidegate and from the gateway."""

from urllib.parse import quote

import pytest
from catalogue import CUSTOMER_KEY
from conftest import StartTidegate
from harness import S3, Cluster, Encryption, Front, Payload, Tidegate, request
from harness.s3 import sse_arguments
from harness.signed import Ask
from harness.tidegate import run
from s3_pair import KEY, differences
from waiting import until

FOLDER = "/shop/stock"
SIZE = (2 << 20) + 70_001


@pytest.fixture(scope="module")
def front(cluster: Cluster) -> Front:
    """A front whose buckets are in that folder."""
    return cluster.add_front("folder", maxMB=1, filer_env={"WEED_FILER_OPTIONS_BUCKETS_FOLDER": FOLDER})


@pytest.fixture(scope="module")
def gate(front: Front, start_shared: StartTidegate) -> Tidegate:
    """A tidegate before its gateway, that follows the filer's changes."""
    gate = start_shared(front, {"s3": {"gateway": [front.gateway.url]}})
    until(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, "changes are followed", 20)
    return gate


def served(gate: Tidegate) -> float:
    """Reads by S3 that the gateway has only decided about."""
    return gate.metrics().sum("tidegate_s3_served_total")


@pytest.mark.parametrize("versioned", [False, True], ids=["plain", "versioned"])
@pytest.mark.parametrize("encryption", Encryption, ids=lambda e: e.title)
def test_objects_are_served(gate: Tidegate, front: Front, encryption: Encryption, versioned: bool) -> None:
    s3 = front.s3.client
    bucket, key = f"folder-{encryption.value}-{int(versioned)}", "a/\u00fc"
    told = sse_arguments(encryption, customer_key=CUSTOMER_KEY, kms_key_id=front.kms.key_id)
    opens = KEY if encryption is Encryption.SSE_C else {}
    s3.create_bucket(Bucket=bucket)
    if versioned:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    path = f"/{bucket}/{quote(key)}"
    asked = [Ask(path, headers={**opens, **ranged}) for ranged in ({}, {"Range": "bytes=5-1200000"})]
    for number in range(2):
        body = Payload(f"{bucket}{number}", SIZE + number).bytes()
        # Through tidegate: whoever reads then reads what was written.
        put = S3(gate.s3_url).client.put_object(Bucket=bucket, Key=key, Body=body, **told)
        asked += [Ask(f"{path}?versionId={put['VersionId']}", headers=opens)] if versioned else []
        before = served(gate)
        assert Ask(path, headers=opens).of(gate.s3_url).body == body
        assert differences(gate, front, asked) == ""
        assert served(gate) - before == len(asked) + 1
    assert request("HEAD", f"{front.filer.url}/buckets/{bucket}/").status == 404, "it would be where it usually is"


def test_what_is_overwritten_elsewhere_is_seen(gate: Tidegate, front: Front) -> None:
    """Buckets and versions are kept in memory, and followed, in that folder as in the usual one."""
    s3 = front.s3.client
    s3.create_bucket(Bucket="followed")
    s3.put_bucket_versioning(Bucket="followed", VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        body = Payload(f"followed{number}", SIZE).bytes()
        s3.put_object(Bucket="followed", Key="key", Body=body)
        before, hits = served(gate), entry_hits(gate)
        for _ in range(2):
            assert Ask("/followed/key").of(gate.s3_url).body == body
        assert served(gate) == before + 2
        until(lambda: Ask("/followed/key").of(gate.s3_url).body == body and entry_hits(gate) >= hits + 3, "it is kept")


def entry_hits(gate: Tidegate) -> float:
    """Entries that were given from memory."""
    return gate.metrics().sum("tidegate_cache_requests_total", cache="entries", outcome="hit")


def test_explain_finds_objects(gate: Tidegate, front: Front) -> None:
    front.s3.client.create_bucket(Bucket="explained")
    front.s3.client.put_object(Bucket="explained", Key="a/b", Body=Payload("explained", SIZE).bytes())
    said = run("explain", "--config", gate.config_file, "s3://explained/a/b").stdout
    assert f"{FOLDER}/explained/a/b" in said and "served here" in said, said
