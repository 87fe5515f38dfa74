"""A run as a picture: how late each message was, and what was broken when."""

import math
from pathlib import Path
from typing import Final

from holdfast.drills.checker.run import Run

_WIDTH: Final = 960
_HEIGHT: Final = 320
_LEFT: Final = 60
_BOTTOM: Final = 40
_TOP: Final = 30
_MAX_POINTS: Final = 5_000
_LEAST_MS: Final = 1.0


def write_svg(path: Path, title: str, run: Run) -> None:
    """Delivery latencies (logarithmic) over time; grey: a fault is on; red: connections that end without a word."""
    points = _points(run)
    top_ms = max([100.0, *(ms for _, ms in points)])
    decades = math.log10(top_ms / _LEAST_MS)

    def x(t: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 10) * t / max(run.end, 1e-9)

    def y(ms: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * math.log10(max(ms, _LEAST_MS) / _LEAST_MS) / decades

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="18" font-size="14">{title}</text>',
    ]
    for began, ended in run.faults.all:
        width = max(2.0, x(ended) - x(began))
        height = _HEIGHT - _BOTTOM - _TOP
        parts.append(f'<rect x="{x(began):.1f}" y="{_TOP}" width="{width:.1f}" height="{height}" fill="#999" opacity="0.3"/>')
    for exponent in range(math.ceil(decades) + 1):
        ms = _LEAST_MS * 10**exponent
        if ms <= top_ms:
            parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(ms):.1f}" y2="{y(ms):.1f}" stroke="#ddd"/>')
            parts.append(f'<text x="{_LEFT - 6}" y="{y(ms) + 4:.1f}" text-anchor="end">{_label(ms)}</text>')
    step = max(1, round(run.end / 10))
    below = _HEIGHT - _BOTTOM + 16
    parts += [f'<text x="{x(s):.1f}" y="{below}" text-anchor="middle">{s} s</text>' for s in range(0, int(run.end) + 1, step)]
    parts += [f'<circle cx="{x(t):.1f}" cy="{y(ms):.1f}" r="1.5" fill="#2266cc" opacity="0.5"/>' for t, ms in points]
    for device in run.devices.values():
        for line in device.lines.values():
            if line.closed_at <= run.end and not line.clean:
                at = x(line.closed_at)
                parts.append(
                    f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM - 8}" stroke="#c00"/>'
                )
    parts.append("</svg>")
    path.write_text("\n".join(parts), encoding="utf-8")


def _points(run: Run) -> list[tuple[float, float]]:
    """(second, milliseconds from send to show), thinned out evenly."""
    points = []
    for device in run.devices.values():
        for stream in device.stream.values():
            for event in stream:
                sent = run.sends.get((event.sender, event.conversation, event.key)) if event.event == "shown" else None
                if sent is not None:
                    points.append((sent.invoked_at, (event.t - sent.invoked_at) * 1000))
    return points[:: max(1, len(points) // _MAX_POINTS)]


def _label(ms: float) -> str:
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.0f} s"
