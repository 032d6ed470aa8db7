#!/usr/bin/env python3
"""Mixed load for a while, with a fault every few seconds: are all bytes right, and does tidegate stay as small as it was?

A SeaweedFS with three volume servers and two copies of everything, a KMS, a filer and a gateway; before them a tidegate
with both fronts. Prints a summary, and ends with exit code 1 when bytes were wrong, when a body was cut although a
replica of each chunk lived, or when memory or descriptors have grown.
"""

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness import Cluster, Kek, Kms, Tidegate  # noqa: E402
from harness.relay import Behaviour  # noqa: E402
from harness.scratch import scratch  # noqa: E402

from faults import Faults  # noqa: E402
from load import Load, write_all  # noqa: E402
from tally import Tally, Watch  # noqa: E402

CONFIG: dict[str, object] = {
    "prefetch": {"memory": "64MiB"},  # less than is asked for at a time, so that nobody's bytes wait whole in memory
}


def summary(tally: Tally, watch: Watch, seconds: float) -> bool:
    """Prints what was seen, and answers whether it is good."""
    asked = sum(tally.requests.values())
    print(f"{'time':<22}{seconds:.0f} s")
    print(f"{'requests':<22}{asked}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(tally.requests.items())))
    print(f"{'bytes compared':<22}{tally.bytes / 1e6:.0f} MB")
    print(f"{'wrong':<22}{len(tally.wrong)}")
    print(f"{'cut, a replica lived':<22}{len(tally.cut)}")
    print(f"{'cut, none lived':<22}{tally.cut_in_the_dark}")
    print(f"{'failed':<22}{sum(tally.failed.values())}")
    for (fault, status), count in sorted(tally.failed.items()):
        print(f"  {fault:<36}{count:>5} {status}")
    print(f"{'faults':<22}{sum(tally.faults.values())}: " + ", ".join(f"{n} {c}" for n, c in sorted(tally.faults.items())))
    flat, lines = watch.flat()
    print("\n".join(lines))
    for what in (tally.wrong + tally.cut)[:20]:
        print(f"  {what}")
    return flat and not tally.wrong and not tally.cut


def run(root: Path, options: argparse.Namespace) -> bool:
    """Starts all, soaks it, and answers whether it was good."""
    lines = [Behaviour() for _ in range(3)]
    kms = Kms(root / "kms")
    kms.start()
    cluster = Cluster(root / "cluster", volumes=3, replication="010", kms=kms, volume_relay=lines)
    cluster.start()
    front = cluster.add_front("soak", kek=Kek.from_key("of the soak"), maxMB=2)
    things = write_all(front)
    config = {**front.tidegate_config(), **CONFIG, "s3": {"gateway": [front.gateway.url]}}
    gate = Tidegate(root / "tidegate", config)
    gate.start()
    tally, watch = Tally(), Watch(gate.pid)
    load = Load(gate, front, things, tally, options.seed)
    load.start(options.readers, options.writers)
    watch.start()
    begun = time.monotonic()
    Faults(cluster, front, kms, gate, lines, things, tally, random.Random(options.seed)).run(options.seconds, watch.warm)
    seconds = time.monotonic() - begun
    watch.stop()
    load.stop()
    good = summary(tally, watch, seconds)
    if options.log:
        Path(options.log).write_text(gate.log.read_text())
    if not gate.running:
        print(f"tidegate ended by itself: {gate.returncode}{gate.last_lines()}")
        return False
    return good


def main() -> None:
    """Reads the options, and ends all in the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="how long (600)")
    parser.add_argument("--readers", type=int, default=4, help="at each front (4)")
    parser.add_argument("--writers", type=int, default=1, help="at each front (1)")
    parser.add_argument("--seed", type=int, default=1, help="of what is asked and broken, in which order (1)")
    parser.add_argument("--log", help="where to keep tidegate's log")
    with scratch("soak") as root:
        good = run(root, parser.parse_args())
    sys.exit(not good)


if __name__ == "__main__":
    main()
