"""Reads Prometheus's text format."""

import re
from dataclasses import dataclass, field

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')

Labels = frozenset[tuple[str, str]]


@dataclass
class Metrics:
    """One scrape: samples by name and labels, with each family's HELP and TYPE."""

    samples: dict[tuple[str, Labels], float] = field(default_factory=dict)
    help: dict[str, str] = field(default_factory=dict)
    type: dict[str, str] = field(default_factory=dict)

    def sum(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that carry these labels; 0 when there is none."""
        wanted = set(labels.items())
        return sum(value for (sample, has), value in self.samples.items() if sample == name and wanted <= has)

    def label_values(self, name: str, label: str) -> set[str]:
        """Every value that a label takes in samples of that name."""
        return {value for (sample, has) in self.samples if sample == name for key, value in has if key == label}

    def label_names(self, name: str) -> set[str]:
        """Every label that samples of that name carry."""
        return {key for (sample, has) in self.samples if sample == name for key, _ in has}


def parse(text: str) -> Metrics:
    """Reads one scrape. Raises ValueError at a line that is none of the format's."""
    metrics = Metrics()
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line[7:].partition(" ")
            metrics.help[name] = words
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            metrics.type[name] = kind
        elif line and not line.startswith("#"):
            match = _SAMPLE.match(line)
            if match is None:
                raise ValueError(f"not a line of Prometheus's text format: {line!r}")
            labels = frozenset(_LABEL.findall(match[2] or ""))
            metrics.samples[match[1], labels] = float(match[3])
    return metrics
