"""4 KiB objects, 16 connections: tidegate with an SSE-C object beside the S3 gateway with the same and the filer with a
plain one, all in one run, in turns. Needs wrk.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/small.py
"""

import re
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from harness import Cluster, CustomerKey, Encryption, Payload, Tidegate, request  # noqa: E402
from harness.s3 import sse_arguments  # noqa: E402
from harness.scratch import installed, scratch  # noqa: E402

SIZE = 4 << 10
CONNECTIONS = 16
ROUNDS = 3
SECONDS = 4
BUCKET = "small"
KEY = CustomerKey.from_seed("benchmark")


def requests_per_second(url: str, headers: dict[str, str], seconds: int) -> float:
    """What wrk counts. Raises when an answer was no success."""
    argv = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s"]
    for name, value in headers.items():
        argv += ["-H", f"{name}: {value}"]
    said = subprocess.run([*argv, url], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if rate is None or "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk on {url} says:\n{said}")
    return float(rate.group(1))


def following(gate: Tidegate) -> None:
    """Waits until entries are kept."""
    gate.wait_ready(lambda: gate.metrics().sum("tidegate_filer_subscription_up") == 1, timeout=30)


def main() -> int:
    if not installed("wrk"):
        return 2
    with scratch("small") as root:
        cluster = Cluster(root)
        cluster.start()
        front = cluster.add_front("small")
        content = Payload("small", SIZE).bytes()
        front.s3.create_bucket(BUCKET)
        front.s3.put(BUCKET, "sse-c", content, **sse_arguments(Encryption.SSE_C, customer_key=KEY))
        front.s3.put(BUCKET, "plain", content)
        gates = {}
        for name, chunks in (("no chunk cache", "off"), ("chunk cache", "64MiB")):
            config = {**front.tidegate_config(), "cache": {"chunks": chunks}, "log": {"level": "warn"}}
            gates[name] = Tidegate(root, config, name=name.replace(" ", "-"))
            gates[name].start()
            following(gates[name])
        key = KEY.headers()
        rows = {
            "filer, plain": (front.filer_url(BUCKET, "plain"), {}),
            "S3 gateway, SSE-C": (front.gateway_url(BUCKET, "sse-c"), key),
            "tidegate, SSE-C, no chunk cache": (gates["no chunk cache"].object_url(BUCKET, "sse-c"), key),
            "tidegate, SSE-C, chunk cache": (gates["chunk cache"].object_url(BUCKET, "sse-c"), key),
        }
        for name, (url, headers) in rows.items():
            answer = request("GET", url, headers)
            if (answer.status, answer.body) != (200, content):
                raise RuntimeError(f"{name} answers {answer.status} and not the object")
            requests_per_second(url, headers, 1)
        rates: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, (url, headers) in rows.items():
                rates[name].append(requests_per_second(url, headers, SECONDS))
        middle = {name: statistics.median(measured) for name, measured in rates.items()}
        filer, gateway = middle["filer, plain"], middle["S3 gateway, SSE-C"]
        print(f"{SIZE} bytes, {CONNECTIONS} connections, median of {ROUNDS} rounds of {SECONDS} s in turns\n")
        print(f"{'':34}{'requests/s':>11}{'x gateway':>11}{'x filer':>9}   rounds")
        for name, rate in middle.items():
            rounds = ", ".join(f"{one:,.0f}" for one in rates[name])
            print(f"{name:34}{rate:11,.0f}{rate / gateway:11.1f}{rate / filer:9.1f}   {rounds}")
        return 0


if __name__ == "__main__":
    sys.exit(main())
