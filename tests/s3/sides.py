"""The gateway by itself and through tidegate, asked the same; and what may differ between their answers."""

import re
from dataclasses import dataclass

from harness import Answer, Front, Tidegate

from asks import Ask

# About the answer and not about the object: two answers of the gateway itself differ in them.
OWN = {"date", "x-amz-request-id"}
# By name: what tidegate does differently on purpose. docs/differences.md says why.
DIFFERENCES = {
    # The gateway sends this one header twice, in two spellings.
    "x-amz-server-side-encryption-customer-key-md5": lambda theirs, ours: ours == theirs[:1],
}


@dataclass(frozen=True)
class Sides:
    """Both, with what they were started of."""

    front: Front
    gate: Tidegate

    def same(self, ask: Ask) -> Answer:
        """Asks both, and holds tidegate's answer against the gateway's. Answers it."""
        theirs, ours = self.both(ask)
        problem = difference(theirs, ours)
        if problem:
            # What the answer depends on may have changed between the two.
            theirs, ours = self.both(ask)
            problem = difference(theirs, ours)
        assert not problem, f"{ask}: {problem}"
        return ours

    def both(self, ask: Ask) -> tuple[Answer, Answer]:
        """The gateway's answer and tidegate's."""
        return ask.send(self.front.gateway.url), ask.send(self.gate.s3_url)

    def served(self) -> float:
        """How many reads tidegate has served by itself so far."""
        return self.gate.metrics().sum("tidegate_s3_served_total")

    def relayed(self, reason: str) -> float:
        """How many requests it has left to the gateway for that reason."""
        return self.gate.metrics().sum("tidegate_s3_relayed_total", reason=reason)


def difference(theirs: Answer, ours: Answer) -> str:
    """What differs in two answers that should be the same; empty if nothing does."""
    if theirs.status != ours.status:
        return f"the gateway says {theirs.status}, tidegate {ours.status}: {theirs.body[:300]!r}, {ours.body[:300]!r}"
    if _comparable(theirs.body) != _comparable(ours.body):
        return f"of {len(theirs.body)} and {len(ours.body)} bytes not all are the same (status {ours.status})"
    before, after = _headers(theirs), _headers(ours)
    for name in sorted({*before, *after} - OWN):
        there, here = before.get(name, []), after.get(name, [])
        if there != here and not (name in DIFFERENCES and DIFFERENCES[name](there, here)):
            return f"{name}: the gateway says {there}, tidegate {here} (status {ours.status})"
    return ""


def _headers(answer: Answer) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in answer.headers.items():
        found.setdefault(name.lower(), []).append(value)
    return found


def _comparable(body: bytes) -> bytes:
    return re.sub(rb"<RequestId>[^<]*</RequestId>|<HostId>[^<]*</HostId>", b"", body)
