"""Alerts, dashboard and the queries of docs/metrics.md: all that they name is exported by the running tidegate.

A real Prometheus scrapes a tidegate that has read, and failed, and relayed. An expression is asked there without its
threshold and must give something: a name or a label that is not exported gives nothing, and so do two sides whose
labels do not match.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from catalogue import MIB, Catalogue, Shape
from conftest import StartTidegate
from expect import read
from harness import Encryption, Front, Tidegate, request
from harness.authority import Authority
from harness.prometheus import Prometheus, promtool

REPO = Path(__file__).resolve().parents[2]
ALERTS = REPO / "deploy/prometheus/alerts.yml"
DASHBOARD = json.loads((REPO / "deploy/grafana/tidegate.json").read_text())
RUNBOOK = (REPO / "docs/runbook.md").read_text()
METRICS = (REPO / "docs/metrics.md").read_text()

RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]

_NAME = re.compile(r"\b(?:tidegate|process)_\w+")
_SELECTOR = re.compile(r"\b(?:(?:tidegate|process)_\w+|up\b)(?:\{[^}]*\})?")
_THRESHOLD = re.compile(r" (?:[<>]|==|>=|<=) \d[\d.e]*(?: \* \d+)*")


@dataclass(frozen=True)
class Expression:
    """One expression, where it stands, and how it is asked here."""

    where: str
    text: str

    @property
    def bare(self) -> str:
        """Without thresholds, and with values for the dashboard's variables."""
        text = _THRESHOLD.sub("", self.text)
        for name, value in {"$job": "tidegate", "$instance": ".*", "$__rate_interval": "1m"}.items():
            text = text.replace(name, value)
        return text


def expressions() -> list[Expression]:
    """All of them."""
    alerts = [Expression(rule["alert"], rule["expr"]) for rule in RULES]
    panels = [Expression(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    queries = re.findall(r"```promql\n(.*?)```", METRICS, re.DOTALL)
    return alerts + panels + [Expression("docs/metrics.md", query.strip()) for query in queries]


@pytest.fixture(scope="module")
def busy(front_1mb: Front, authority: Authority, start_shared: StartTidegate) -> Tidegate:
    """A tidegate of both fronts that lacks the SSE-S3 key, so that some reads of every kind fail and others do not. It has the
    certificate of a KMS that it never asks."""
    spare = {"type": "openbao", "address": "https://127.0.0.1:1", "token": "none", "ca_cert": str(authority.ca)}
    change = {
        "s3": {"gateway": [front_1mb.gateway.url]},
        "sse_s3": {"key": "another key"},
        "kms": {"providers": {"spare": spare}},
    }
    return start_shared(front_1mb, change)


def keep_busy(gate: Tidegate, front: Front, objects: Catalogue) -> None:
    """Reads of every encryption and by both fronts, and what is answered with 404 and 500."""
    for encryption in (Encryption.NONE, Encryption.SSE_C, Encryption.SSE_KMS):
        assert read(gate, objects.get(front, encryption, Shape.MANY)).status == 200
    assert read(gate, objects.get(front, Encryption.SSE_S3, Shape.MANY)).status == 500
    assert request("GET", f"{gate.url}/not-here").status == 404
    large = objects.sized(front, Encryption.NONE, 3 * MIB)
    assert request("GET", f"{gate.s3_url}/things/{large.key}").status == 200


@pytest.fixture(scope="module")
def prometheus(
    busy: Tidegate, front_1mb: Front, objects: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """One that has scraped it often enough for rates of everything."""
    keep_busy(busy, front_1mb, objects)
    server = Prometheus(tmp_path_factory.mktemp("prometheus") / "one", [busy], ALERTS)
    try:
        server.start()
        deadline = time.monotonic() + 30
        while not server.ask('count_over_time(up{job="tidegate"}[1m]) >= 4'):
            assert time.monotonic() < deadline, "it does not scrape"
            keep_busy(busy, front_1mb, objects)
            time.sleep(0.5)
        yield server
    finally:
        server.stop(1.0)


def test_the_rules_are_rules_and_fire_when_they_should() -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", ALERTS.with_name("alerts_test.yml"))


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    groups = yaml.safe_load(ALERTS.with_name("alerts_test.yml").read_text())["tests"]
    cases = [case for group in groups for case in group.get("alert_rule_test", [])]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    quiet = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    names = {rule["alert"] for rule in RULES}
    assert fires == names and quiet == names


def test_every_alert_has_its_paragraph_in_the_runbook() -> None:
    headings = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)
    assert headings == [rule["alert"] for rule in RULES]
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        paragraph = RUNBOOK.split(f"### {rule['alert']}\n")[1].split("\n#")[0]
        assert [word for word in ("Means", "Look", "Do") if f"**{word}**" not in paragraph] == [], rule["alert"]


def test_what_is_exported_has_the_form_that_prometheus_wants(busy: Tidegate, front_1mb: Front, objects: Catalogue) -> None:
    keep_busy(busy, front_1mb, objects)
    assert promtool("check", "metrics", given=busy.scrape()) == ""


def test_every_metric_that_is_named_is_exported(busy: Tidegate, front_1mb: Front, objects: Catalogue) -> None:
    keep_busy(busy, front_1mb, objects)
    exported = {name for name, _ in busy.metrics().samples}
    asked = expressions()
    assert len(asked) > len(RULES) + len(PANELS)
    for expression in asked:
        assert set(_NAME.findall(expression.text)) <= exported, f"{expression.where}: {expression.text}"


def test_every_selector_and_expression_gives_something(prometheus: Prometheus) -> None:
    def nothing() -> list[str]:
        found = []
        for expression in expressions():
            asked = [expression.bare, *_SELECTOR.findall(expression.bare)]
            found += [f"{expression.where}: {query}" for query in asked if not prometheus.ask(query)]
        return found

    deadline = time.monotonic() + 20
    while missing := nothing():
        assert time.monotonic() < deadline, "\n".join(missing)
        time.sleep(1)


def test_the_dashboard_is_one() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        area = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not area & taken and at["x"] + at["w"] <= 24, f"{panel['title']} lies on another panel"
        taken |= area
    for panel in PANELS:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])
