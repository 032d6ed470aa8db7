"""Random policies, identities and requests: no answer gives a byte that the gateway by itself refuses, or keeps one back."""

import os
import time

from bucket import Bucket
from harness import Front
from people import READER, session
from rights import Rights
from sides import Sides, described, presented

SEED = os.environ.get("TIDEGATE_S3_SEED", "1")
SECONDS = float(os.environ.get("TIDEGATE_S3_SECONDS", "45"))
REQUESTS = int(os.environ.get("TIDEGATE_S3_REQUESTS", "6000"))
PER_POLICY = 12


def test_no_byte_that_the_gateway_refuses(sides: Sides, cases: Bucket, front: Front) -> None:
    """Each policy is put by tidegate and asked about at once. What the gateway gives and what it refuses is given and
    refused in the same words."""
    buckets = [Bucket(sides, "rights").create(), Bucket(sides, "rights-versioned").create(versioned=True)]
    rights = Rights(SEED, buckets, session(front.gateway.url, READER))
    until = time.monotonic() + SECONDS
    given = kept = 0
    failed, leaked = [], []
    while given + kept < REQUESTS and time.monotonic() < until:
        bucket = rights.random.choice(buckets)
        statements = rights.statements(bucket)
        if not bucket.offer(*statements):
            continue
        for _ in range(PER_POLICY):
            asked = rights.asked(bucket)
            wanted, got = sides.both(asked.request)
            refused = wanted.status not in (200, 206)
            given, kept = (given, kept + 1) if refused else (given + 1, kept)
            if what := described(presented(wanted), presented(got)):
                line = f"{asked}\n  {statements}\n  {what}"
                (leaked if refused and (got.status in (200, 206)) else failed).append(line)
    assert not leaked, f"{len(leaked)} answers that the gateway refuses (seed {SEED}):\n" + "\n".join(leaked[:8])
    assert not failed, f"{len(failed)} of {given + kept} (seed {SEED}):\n" + "\n".join(failed[:8])
    assert given > 100 and kept > 100, f"{given} given, {kept} kept back: too few to tell"
