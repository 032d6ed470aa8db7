"""Under systemd: both logs are entries of a real journal, with fields to search for."""

from pathlib import Path

from catalogue import Catalogue, Shape
from expect import read
from harness import Encryption, Front, Tidegate, request
from harness.journald import beside_a_journal, entries
from harness.tidegate import merged
from waiting import until


def test_the_journal_has_lines_with_priority_and_fields(front_1mb: Front, objects: Catalogue, tmp_path: Path) -> None:
    change = {"server": {"trusted_proxies": ["127.0.0.1"]}, "log": {"format": "auto", "access": "all"}, "sse_s3": {"key": "another key"}}
    gate = Tidegate(tmp_path, merged(front_1mb.tidegate_config(), change))
    kept = tmp_path / "run"
    gate.argv = beside_a_journal(kept, gate.argv)
    sealed = objects.get(front_1mb, Encryption.SSE_S3, Shape.CHUNK)
    try:
        gate.start()
        assert read(gate, sealed, X_Request_Id="in-the-journal").status == 500
        assert request("GET", f"{gate.url}/not-here").status == 404
        until(lambda: len(entries(kept, "TIDEGATE_REQUEST=in-the-journal")) == 2, "the journal has both")
    finally:
        gate.stop()
    line, access = sorted(entries(kept, "TIDEGATE_REQUEST=in-the-journal"), key=lambda entry: entry["PRIORITY"])
    assert (line["PRIORITY"], line["TIDEGATE_TARGET"]) == ("4", "tidegate::layers::error_log")
    assert line["TIDEGATE_PATH"] == sealed.path() and line["TIDEGATE_STATUS"] == "500"
    assert line["MESSAGE"].startswith("WARN tidegate::layers::error_log: ") and "\x1b" not in line["MESSAGE"]
    assert (access["PRIORITY"], access["TIDEGATE_LOG"], access["TIDEGATE_STATUS"]) == ("6", "access", "500")
    assert access["SYSLOG_IDENTIFIER"] == "tidegate" and access["_TRANSPORT"] == "journal"
    everything = entries(kept, "SYSLOG_IDENTIFIER=tidegate")
    assert len([entry for entry in everything if entry.get("TIDEGATE_PATH") == "/not-here"]) == 1
    assert any(entry["MESSAGE"].endswith("stopped cut=0") for entry in everything), "the last lines are there"
    assert not [entry for entry in entries(kept) if entry.get("_TRANSPORT") == "stdout"], "nothing but entries"


def test_json_stays_json(front_1mb: Front, tmp_path: Path) -> None:
    gate = Tidegate(tmp_path, merged(front_1mb.tidegate_config(), {"log": {"format": "json"}}))
    kept = tmp_path / "run"
    gate.argv = beside_a_journal(kept, gate.argv)
    try:
        gate.start()
        until(lambda: bool(entries(kept, "_TRANSPORT=stdout")), "the journal has lines")
    finally:
        gate.stop()
    assert all(entry["MESSAGE"].startswith("{") for entry in entries(kept, "_TRANSPORT=stdout"))
