"""A Prometheus that scrapes tidegates every second, and promtool: both from Debian's `prometheus`."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from .ports import HOST, free_port
from .process import Process, ProcessFailed
from .tidegate import Tidegate
from .wire import request

_CONFIGURATION = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: tidegate
    static_configs: [{{targets: {targets}}}]
"""


def program(name: str) -> str:
    """`prometheus` or `promtool`."""
    if found := shutil.which(name, path=os.environ.get("PATH", "") + os.pathsep + "/usr/bin"):
        return found
    raise ProcessFailed(f"no {name}: install it (Debian, Ubuntu: apt install --no-install-recommends prometheus)")


def promtool(*arguments: str | Path, given: str | None = None) -> str:
    """What promtool says; raises AssertionError with it where it is not content."""
    argv = [program("promtool"), *map(str, arguments)]
    done = subprocess.run(argv, input=given or "", capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(argv)}\n{said}"
    return said


class Prometheus(Process):
    """One that scrapes these tidegates as the job `tidegate`, with these rules."""

    def __init__(self, root: Path, gates: Sequence[Tidegate], rules: Path) -> None:
        root.mkdir(parents=True)
        self.address = f"{HOST}:{free_port()}"
        configuration = root / "prometheus.yml"
        targets = json.dumps([gate.admin for gate in gates])
        configuration.write_text(_CONFIGURATION.format(rules=rules, targets=targets))
        argv = [
            program("prometheus"),
            f"--config.file={configuration}",
            f"--storage.tsdb.path={root / 'data'}",
            f"--web.listen-address={self.address}",
            "--log.level=warn",
        ]
        super().__init__("prometheus", argv, root / "prometheus.log")

    def start(self) -> None:
        """Starts it and waits until it answers queries."""
        super().start()
        self.wait_ready(lambda: request("GET", f"http://{self.address}/-/ready").status == 200)

    def ask(self, expression: str) -> list[dict[str, object]]:
        """The series that an expression gives now; [] where it selects none. Raises AssertionError at a wrong one."""
        answer = request("GET", f"http://{self.address}/api/v1/query?{urlencode({'query': expression})}")
        said = json.loads(answer.body)
        assert said["status"] == "success", f"{expression}\n{said}"
        return said["data"]["result"]
