"""Bars as SVG: no script, no font of its own, light or dark as the reader's system is (`prefers-color-scheme`).

A plot has groups of bars with the same label; a bar has one or more segments, each in the colour of its series.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, LEFT, RIGHT = 860, 230, 90
BAR, GAP, PAD = 15, 4, 12
STYLE = """
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}.note,.tick{fill:#59636e;font-size:12px}
.grid{stroke:#d1d9e0}.paper{fill:#ffffff}.s0{fill:#0969da}.s1{fill:#bc8c00}.s2{fill:#8c959f}.mark{stroke:#cf222e;stroke-dasharray:4 3}
@media (prefers-color-scheme:dark){text{fill:#f0f6fc}.note,.tick{fill:#9198a1}.grid{stroke:#3d444d}.paper{fill:#0d1117}
.s0{fill:#4493f8}.s1{fill:#d29922}.s2{fill:#656c76}.mark{stroke:#f85149}}
"""


@dataclass(frozen=True)
class Group:
    """What stands at one label: bars, each a list of segments."""

    label: str
    bars: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Plot:
    """Bars. With `stacked`, series are the segments of one bar, otherwise the bars of a group. `mark` is a line across."""

    title: str
    note: str
    series: Sequence[str]
    groups: Sequence[Group]
    stacked: bool
    digits: int
    mark: float | None = None

    def svg(self) -> str:
        """The whole file."""
        most = max(sum(bar) for group in self.groups for bar in group.bars) or 1.0
        step = _step(most)
        end = ceil(most / step) * step
        scale = (WIDTH - LEFT - RIGHT) / end
        top = 74 if len(self.series) > 1 else 54
        body: list[str] = []
        y = float(top)
        for group in self.groups:
            height = len(group.bars) * (BAR + GAP) - GAP
            body.append(_text(LEFT - 8, y + height / 2 + 4.5, group.label, 'text-anchor="end"'))
            for number, bar in enumerate(group.bars):
                x = float(LEFT)
                for segment, value in enumerate(bar):
                    shade = segment if self.stacked else number
                    name = f"{group.label}, {self.series[shade]}: {value:,.{self.digits}f}"
                    width = value * scale
                    box = f'<rect class="s{shade}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{BAR}">'
                    body.append(f"{box}<title>{escape(name)}</title></rect>")
                    x += width
                body.append(_text(x + 6, y + BAR - 3, f"{sum(bar):,.{self.digits}f}", ""))
                y += BAR + GAP
            y += PAD - GAP
        lines = []
        for number in range(round(end / step) + 1):
            x = LEFT + number * step * scale
            lines.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{y:.0f}"/>')
            lines.append(_text(x, y + 16, f"{number * step:,.6g}", 'class="tick" text-anchor="middle"'))
        if self.mark is not None:
            x = LEFT + self.mark * scale
            body.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{top - 6}" y2="{y:.0f}"/>')
        head = [_text(12, 24, self.title, 'class="title"'), _text(12, 43, self.note, 'class="note"')]
        x = 12.0
        for number, name in enumerate(self.series if len(self.series) > 1 else []):
            head.append(f'<rect class="s{number}" x="{x:.0f}" y="53" width="11" height="11"/>')
            head.append(_text(x + 16, 63, name, 'class="note"'))
            x += 34 + 6.6 * len(name)
        height = y + 28
        opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
        about = f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
        paper = '<rect class="paper" width="100%" height="100%"/>'
        return "\n".join([opening, about, paper, *head, *lines, *body, "</svg>\n"])


def _text(x: float, y: float, words: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'


def _step(most: float) -> float:
    """A round distance between lines, of which there are at most seven."""
    rough = most / 6
    power = 10.0 ** floor(log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
