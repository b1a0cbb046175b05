"""A picture of recoveries as SVG: a row for each duration, a dot for each kill, marks at median and p99. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from maro.testbed.recovery_figures import quantile

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 900, 270, 40, 50, 44
_DOTS_HIGH = 14
"""Pixels over which the dots of a row are spread, so that equal ones can be told apart."""
_STYLE = (
    "text{font:13px sans-serif;fill:#24292f} .t{font-weight:bold;font-size:15px} .a{fill:#57606a;font-size:11px}"
    " line{stroke:#d0d7de} .p50{stroke:#cf222e;stroke-width:2.5}"
    " .p99{stroke:#9a6700;stroke-width:2.5;stroke-dasharray:3 2}"
    " circle{fill:#0969da;fill-opacity:.35}"
)


def picture(title: str, durations: Mapping[str, Sequence[float]]) -> str:
    """The text of an SVG file.

    Args:
        title: above all.
        durations: by what they are about, in seconds; each at least one. The scale is logarithmic.
    """
    positive = [max(value, 1e-4) for values in durations.values() for value in values]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    scale = _Scale(low, max(high, low + 1))
    height = _TOP + _ROW * len(durations) + 40
    label = quoteattr(title)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label={label}>',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<text class="t" x="10" y="24">{escape(title)}</text>',
        *_axis(scale, height),
    ]
    for number, (text, values) in enumerate(durations.items()):
        parts += _row(text, values, scale, _TOP + _ROW * number + _ROW / 2)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """From seconds to pixels, by powers of ten."""

    def __init__(self, low: int, high: int) -> None:
        self.powers = range(low, high + 1)

    def x(self, value_s: float) -> float:
        low, high = self.powers[0], self.powers[-1]
        share = (math.log10(max(value_s, 1e-4)) - low) / (high - low)
        return round(_LEFT + share * (_WIDTH - _LEFT - _RIGHT), 1)


def _axis(scale: _Scale, height: float) -> list[str]:
    parts = []
    for power in scale.powers:
        x = scale.x(10.0**power)
        label = f"{10.0 ** (power + 3):g} ms" if power < 0 else f"{10.0**power:g} s"
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{height - 36}"/>')
        parts.append(f'<text class="a" x="{x}" y="{height - 20}" text-anchor="middle">{label}</text>')
    legend = "a dot a kill; the line is the median, the dashed one p99"
    return [*parts, f'<text class="a" x="10" y="{height - 4}">{legend}</text>']


def _row(text: str, values: Sequence[float], scale: _Scale, y: float) -> list[str]:
    dots = []
    for number, value in enumerate(values):
        offset = (number * 5 % _DOTS_HIGH) - _DOTS_HIGH / 2
        dots.append(f'<circle cx="{scale.x(value)}" cy="{y + offset:g}" r="3"/>')
    marks = [
        f'<line class="{name}" x1="{x}" x2="{x}" y1="{y - 14:g}" y2="{y + 14:g}"/>'
        for name, x in (("p50", scale.x(quantile(values, 0.5))), ("p99", scale.x(quantile(values, 0.99))))
    ]
    return [f'<text x="10" y="{y + 4:g}">{escape(text)}</text>', *dots, *marks]
