"""4 KiB objects, 16 connections: tidegate with an SSE-C object beside the S3 gateway with the same and the filer with a
plain one, all in one run, in turns. Needs wrk.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/small.py
"""

import statistics
import sys

import setting
from harness import Encryption, Payload, request
from harness.scratch import installed
from wrk import requests_per_second

SIZE = 4 << 10
CONNECTIONS = 16
ROUNDS = 3
SECONDS = 4


def main() -> int:
    if not installed("wrk"):
        return 2
    with setting.start("small") as servers:
        content = Payload("small", SIZE).bytes()
        servers.write(content, Encryption.NONE, Encryption.SSE_C)
        quiet, key = {"level": "warn"}, setting.KEY.headers()
        uncached = servers.tidegate("uncached", cache={"chunks": "off"}, log=quiet)
        cached = servers.tidegate("cached", cache={"chunks": "64MiB"}, log=quiet)
        rows = {
            "filer, plain": (servers.at_filer(Encryption.NONE), {}),
            "S3 gateway, SSE-C": (servers.at_gateway(Encryption.SSE_C), key),
            "tidegate, SSE-C, no chunk cache": (servers.at(uncached, Encryption.SSE_C), key),
            "tidegate, SSE-C, chunk cache": (servers.at(cached, Encryption.SSE_C), key),
        }
        for name, (url, headers) in rows.items():
            answer = request("GET", url, headers)
            if (answer.status, answer.body) != (200, content):
                raise RuntimeError(f"{name} answers {answer.status} and not the object")
            requests_per_second(url, headers, CONNECTIONS, 1)
        rates: dict[str, list[float]] = {name: [] for name in rows}
        for _ in range(ROUNDS):
            for name, (url, headers) in rows.items():
                rates[name].append(requests_per_second(url, headers, CONNECTIONS, SECONDS))
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
