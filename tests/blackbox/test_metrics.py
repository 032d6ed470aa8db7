"""/metrics: every metric of the contract, with HELP and TYPE, and labels that do not grow."""

import re
from collections.abc import Iterable

import pytest
from catalogue import Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, request
from prometheus_client.openmetrics.parser import text_string_to_metric_families

LABELS = {
    "tidegate_connections": ("gauge", {"front"}),
    "tidegate_connections_accepted_total": ("counter", {"front"}),
    "tidegate_requests_total": ("counter", {"method", "code", "sse"}),
    "tidegate_requests_in_flight": ("gauge", set()),
    "tidegate_answers_total": ("counter", {"by"}),
    "tidegate_filer_up": ("gauge", {"filer"}),
    "tidegate_filer_seconds": ("histogram", {"filer", "question"}),
    "tidegate_volume_server_first_byte_seconds": ("histogram", {"server"}),
    "tidegate_volume_server_requests": ("gauge", {"server"}),
    "tidegate_volume_server_failures_total": ("counter", {"server"}),
    "tidegate_volume_server_aside": ("gauge", {"server"}),
    "tidegate_cache_bytes": ("gauge", {"cache"}),
    "tidegate_cache_entries": ("gauge", {"cache"}),
    "tidegate_request_duration_seconds": ("histogram", {"sse"}),
    "tidegate_time_to_first_byte_seconds": ("histogram", {"sse"}),
    "tidegate_response_bytes_total": ("counter", {"sse"}),
    "tidegate_fetches_in_flight": ("gauge", set()),
    "tidegate_fetches_total": ("counter", {"outcome"}),
    "tidegate_fetch_bytes_total": ("counter", set()),
    "tidegate_fetch_retries_total": ("counter", {"reason"}),
    "tidegate_prefetch_buffer_bytes": ("gauge", set()),
    "tidegate_kms_requests_total": ("counter", {"provider", "outcome"}),
    "tidegate_cache_requests_total": ("counter", {"cache", "outcome"}),
    "tidegate_build_info": ("gauge", {"version"}),
}


@pytest.fixture
def busy_gate(front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate) -> Tidegate:
    """A tidegate that has read one object of each kind."""
    gate = start_tidegate(front_1mb)
    for encryption in Encryption:
        assert read(gate, objects.get(front_1mb, encryption, Shape.MANY)).status == 200
    return gate


def test_every_metric_has_help_type_and_its_labels(busy_gate: Tidegate) -> None:
    scraped = busy_gate.metrics()
    for name, (kind, labels) in LABELS.items():
        assert scraped.type.get(name) == kind, name
        assert len(scraped.help.get(name, "")) > 10, name
        sample = f"{name}_count" if kind == "histogram" else name
        present = {has for has, _ in scraped.samples}
        if sample in present:
            assert labels <= scraped.label_names(sample), name
        else:
            assert name == "tidegate_fetch_retries_total", f"{name} has no sample"


def test_every_family_follows_the_conventions(busy_gate: Tidegate) -> None:
    scraped = busy_gate.metrics()
    ours = [name for name in scraped.type if name.startswith("tidegate_")]
    for name in ours:
        assert name in scraped.help
        assert (scraped.type[name] == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|millis|kb|mb)(_|$)", name), name


def test_requests_are_counted_by_method_code_and_encryption(
    busy_gate: Tidegate, front_1mb: Front, objects: Catalogue
) -> None:
    thing = objects.get(front_1mb, Encryption.SSE_C, Shape.MANY)
    before = busy_gate.metrics()
    read(busy_gate, thing, Range="bytes=0-9")
    read(busy_gate, thing, "HEAD")
    refusal = request("GET", busy_gate.url + thing.path())
    after = busy_gate.metrics()

    def more(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert more("tidegate_requests_total", method="GET", code="206", sse="c") == 1
    assert more("tidegate_requests_total", method="HEAD", code="200", sse="c") == 1
    assert more("tidegate_requests_total", method="GET", code="400") == 1
    assert more("tidegate_requests_total") == 3
    assert more("tidegate_response_bytes_total", sse="c") == 10 + len(refusal.body)
    assert more("tidegate_request_duration_seconds_count") == 3
    assert before.label_values("tidegate_response_bytes_total", "sse") <= {"none", "c", "kms", "s3"}


def test_bytes_are_counted_for_each_encryption(busy_gate: Tidegate, front_1mb: Front, objects: Catalogue) -> None:
    scraped = busy_gate.metrics()
    for encryption in Encryption:
        size = len(objects.get(front_1mb, encryption, Shape.MANY).content)
        assert scraped.sum("tidegate_response_bytes_total", sse=encryption.value) == size
        assert scraped.sum("tidegate_time_to_first_byte_seconds_count", sse=encryption.value) == 1


def test_labels_do_not_grow_with_paths_and_methods(front_1mb: Front, gate_1mb: Tidegate) -> None:
    request("BREW", gate_1mb.url + "/x")
    before = len(gate_1mb.metrics().samples)
    for number in range(50):
        request("GET", f"{gate_1mb.url}/no/such/path/{number}")
        request(f"BREW{number}", f"{gate_1mb.url}/x")
    assert len(gate_1mb.metrics().samples) <= before + 3
    assert "/no/such" not in gate_1mb.scrape() and "BREW" not in gate_1mb.scrape()


def test_who_answered_and_who_was_asked_is_counted(busy_gate: Tidegate, front_1mb: Front, objects: Catalogue) -> None:
    plain = objects.get(front_1mb, Encryption.NONE, Shape.MANY)
    before = busy_gate.metrics()
    read(busy_gate, plain)
    request("GET", f"{busy_gate.url}/buckets/")  # a listing is the filer's
    after = busy_gate.metrics()
    filer, volume = front_1mb.filer.address, front_1mb.cluster.volumes[0].address

    def more(name: str, **labels: str) -> float:
        return after.sum(name, **labels) - before.sum(name, **labels)

    assert (more("tidegate_answers_total", by="served"), more("tidegate_answers_total", by="relayed")) == (1, 1)
    assert more("tidegate_connections_accepted_total", front="filer") == 2
    assert more("tidegate_filer_seconds_count", filer=filer, question="relay") == 1
    assert more("tidegate_filer_seconds_count", filer=filer, question="lookup") >= 1
    assert after.label_values("tidegate_volume_server_requests", "server") == {volume, "other"}
    assert after.sum("tidegate_volume_server_first_byte_seconds_count", server=volume) >= len(Encryption)
    assert after.sum("tidegate_filer_up", filer=filer) == 1 and after.sum("tidegate_volume_server_aside") == 0
    assert after.sum("tidegate_requests_in_flight") == after.sum("tidegate_volume_server_requests") == 0
    assert after.sum("tidegate_cache_bytes", cache="chunks") > 0 and after.sum("tidegate_cache_entries", cache="entries") > 0


def test_no_server_is_named_where_none_is_to_be(
    front_1mb: Front, objects: Catalogue, start_tidegate: StartTidegate
) -> None:
    gate = start_tidegate(front_1mb, {"admin": {"named_servers": 0}})
    assert read(gate, objects.get(front_1mb, Encryption.NONE, Shape.MANY)).status == 200
    scraped = gate.metrics()
    assert scraped.label_values("tidegate_volume_server_aside", "server") == {"other"}
    assert scraped.sum("tidegate_volume_server_first_byte_seconds_count", server="other") > 0


def test_open_metrics_say_the_same_by_their_own_rules(busy_gate: Tidegate) -> None:
    accept = {"Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"}
    answer = request("GET", f"{busy_gate.admin_url}/metrics", accept)
    assert answer.header("Content-Type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.body.endswith(b"# EOF\n")
    families = list(text_string_to_metric_families(answer.body.decode()))
    told = {(sample.name, frozenset(sample.labels.items())) for family in families for sample in family.samples}

    def with_plain_bounds(samples: Iterable[tuple[str, frozenset[tuple[str, str]]]]) -> set[tuple[str, str]]:
        """OpenMetrics has `le="1.0"` where the text format has `le="1"`."""
        bound = lambda key, value: value.removesuffix(".0") if key == "le" else value  # noqa: E731
        return {(name, str(sorted((key, bound(key, value)) for key, value in labels))) for name, labels in samples}

    assert with_plain_bounds(told) == with_plain_bounds(busy_gate.metrics().samples)
    types = {family.name: family.type for family in families}
    assert types["tidegate_requests"] == "counter" and types["tidegate_build"] == "info"


def test_the_admin_side_serves_nothing_else(gate_1mb: Tidegate) -> None:
    assert request("GET", f"{gate_1mb.admin_url}/buckets/").status == 404
    answer = request("GET", f"{gate_1mb.admin_url}/metrics")
    assert answer.header("Content-Type").startswith("text/plain")
