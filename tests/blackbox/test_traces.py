"""Spans of requests, as a collector gets them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, request
from harness.collector import Collector, Span
from harness.tidegate import merged, run
from waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOP = "00f067aa0ba902b7"
STAGES = {"entry", "plan", "keys", "first bytes", "body"}


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """One that has nothing yet."""
    made = Collector(tmp_path / "collector")
    made.start()
    yield made
    made.stop()


def traced(collector: Collector, sample: int) -> dict[str, object]:
    return {"server": {"trusted_proxies": ["127.0.0.1"]}, "tracing": {"endpoint": collector.url, "sample": sample}}


def test_a_span_for_each_stage_of_a_request(
    front_1mb: Front, objects: Catalogue, collector: Collector, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, traced(collector, 1_000_000))
    thing = objects.get(front_1mb, Encryption.SSE_KMS, Shape.CHUNK)
    headers = {"X_Request_Id": "traced", "traceparent": f"00-{TRACE}-{HOP}-01"}
    answer = read(gate, thing, **headers)
    assert answer.status == 200
    until(lambda: len(collector.spans()) == 6, "all have come")
    spans = {span.name: span for span in collector.spans()}
    whole = spans.pop("GET")
    assert spans.keys() == STAGES
    assert (whole.service, whole.trace, whole.parent, whole.kind) == ("tidegate", TRACE, HOP, 2)
    attributes = {"http.request.method": "GET", "tidegate.request": "traced", "http.response.status_code": 200}
    assert whole.attributes == attributes
    for span in spans.values():
        assert (span.trace, span.parent) == (TRACE, whole.id)
        assert whole.start <= span.start <= span.end <= whole.end
    assert spans["body"].attributes == {"http.response.body.size": len(answer.body)}
    assert thing.key not in collector.log.read_text(), "no path is told"


def test_the_proxy_decides_and_else_chance(
    front_1mb: Front, collector: Collector, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, traced(collector, 1))
    assert request("GET", gate.url + "/no", headers={"traceparent": f"00-{TRACE}-{HOP}-00"}).status == 404
    assert request("GET", gate.url + "/no", headers={"traceparent": "00-nonsense"}).status == 404

    def whole() -> list[Span]:
        return [span for span in collector.spans() if span.name == "GET"]

    until(lambda: bool(whole()), "one has come")
    gate.stop()
    assert [(span.parent, span.trace != TRACE) for span in whole()] == [("", True)]


def test_nobody_waits_for_a_collector_that_is_gone(
    front_1mb: Front, objects: Catalogue, collector: Collector, start_tidegate: StartTidegate
) -> None:
    collector.stop()
    gate = start_tidegate(front_1mb, traced(collector, 1))
    thing = objects.get(front_1mb, Encryption.NONE, Shape.CHUNK)
    for _ in range(200):
        assert read(gate, thing).status == 200
    gate.stop(grace=8)
    assert gate.returncode == 0


def test_an_endpoint_that_cannot_be_meant_is_refused(front_1mb: Front, tmp_path: Path) -> None:
    for endpoint in ("https://127.0.0.1:4317", "127.0.0.1:4317", "http://127.0.0.1", "http://127.0.0.1:4317/v1/traces"):
        config = merged(front_1mb.tidegate_config(), {"tracing": {"endpoint": endpoint}})
        done = run("check", "--config", Tidegate(tmp_path, config, name="refused").config_file)
        assert done.returncode == 2 and "tracing.endpoint: " in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
