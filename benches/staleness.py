"""How long a read through tidegate can still give the old file after the filer has acknowledged a write past tidegate.

Each round overwrites one file at the filer and reads it through tidegate without a pause until the new content comes. The
age of a round is the time from the acknowledgement to the beginning of the last read that gave the old content; 0 if
none did.

    TIDEGATE_BIN=target/release/tidegate .venv/bin/python benches/staleness.py
"""

import http.client
import sys
import time

import setting

ROUNDS = 1000
PATH = "/staleness/file"


def exchange(connection: http.client.HTTPConnection, method: str, body: bytes | None = None) -> bytes:
    connection.request(method, PATH, body=body)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status not in (200, 201):
        raise RuntimeError(f"{method} answers {answer.status}")
    return content


def main() -> int:
    with setting.start("staleness") as servers:
        gate = servers.tidegate(log={"level": "warn"})
        filer = http.client.HTTPConnection(servers.front.filer.host, servers.front.filer.port)
        reader = http.client.HTTPConnection("127.0.0.1", gate.port)
        ages, stale = [], 0
        exchange(filer, "PUT", b"-1")
        for number in range(ROUNDS):
            exchange(reader, "GET")
            exchange(reader, "GET")
            new = str(number).encode()
            exchange(filer, "PUT", new)
            acknowledged, age = time.perf_counter(), 0.0
            while True:
                asked = time.perf_counter()
                if exchange(reader, "GET") == new:
                    break
                age = asked - acknowledged
                stale += 1
            ages.append(age * 1000)
        hits = gate.metrics().sum("tidegate_cache_requests_total", cache="entries", outcome="hit")
        ages.sort()
        at = {f"p{share * 100:g}": ages[int(share * (ROUNDS - 1))] for share in (0.5, 0.9, 0.99, 0.999)}
        print(f"{ROUNDS} overwrites at the filer; {hits:,.0f} reads from memory, {stale} stale reads")
        print("age of the last stale read, ms: " + ", ".join(f"{name} {age:.3f}" for name, age in at.items()), end="")
        print(f", max {ages[-1]:.3f}; none stale in {sum(age == 0 for age in ages)} rounds")
        return 0


if __name__ == "__main__":
    sys.exit(main())
