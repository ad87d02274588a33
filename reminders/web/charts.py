"""Charts as geometry, for a template to draw as SVG without a style in it. What is drawn stands in a table as well."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

HEIGHT, LEFT, TOP, BOTTOM = 190, 64, 14, 34
WIDTH = 720
NARROWEST = 26  # of a column: a target of 24 pixels and a gap


@dataclass(frozen=True, slots=True)
class Bar:
    """One part of a column."""

    x: float
    y: float
    width: float
    height: float
    name: str


@dataclass(frozen=True, slots=True)
class Dot:
    """One value of a line; `shape` tells lines apart without their colours."""

    x: float
    y: float
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """One column of a chart, all of which is a link: what it says, and whether its label is written."""

    x: float
    width: float
    label: str
    said: str
    address: str
    is_written: bool


@dataclass(slots=True)
class Chart:
    """One chart: its columns, what is drawn in them, the scale, thresholds by name, and the numbers behind it."""

    key: str
    title: str
    note: str
    width: float
    places: list[Place]
    legend: list[tuple[str, str]]
    ticks: list[tuple[float, str]]
    head: list[str]
    rows: list[tuple[str, str, list[str]]]
    bars: list[Bar] = field(default_factory=list)
    lines: list[tuple[str, str]] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    thresholds: list[tuple[float, str]] = field(default_factory=list)
    height: float = HEIGHT
    left: float = LEFT
    floor: float = HEIGHT - BOTTOM


Labelled = Sequence[tuple[str, str]]
"""(label, address) of each column."""


def columns(
    key: str,
    title: str,
    note: str,
    places: Labelled,
    series: Sequence[tuple[str, str, Sequence[int]]],
) -> Chart:
    """Columns of counts on top of each other; `series` are (name of its class, word, a count for each column)."""
    most = max((sum(values) for values in zip(*(values for _, _, values in series), strict=True)), default=0)
    top = _round_up(most)
    chart = _empty(key, title, note, places, [(name, word) for name, word, _ in series])
    parts = (0, 0.5, 1) if top > 1 else (0, 1)
    chart.ticks = [(_y(part, 1), f"{part * top:,.0f}") for part in parts]
    for number, place in enumerate(chart.places):
        passed, x, width = 0, round(place.x + 3, 1), round(place.width - 6, 1)
        for name, _, values in series:
            if values[number]:
                low, high = _y(passed, top), _y(passed + values[number], top)
                chart.bars.append(Bar(x, high, width, round(low - high, 1), name))
                passed += values[number]
    counts = [[f"{values[number]:,}" for _, _, values in series] for number in range(len(places))]
    chart.rows = _rows(chart, places, counts)
    return chart


def lines(
    key: str,
    title: str,
    note: str,
    places: Labelled,
    series: Sequence[tuple[str, str, Sequence[float | None]]],
    *,
    scale: Callable[[float], float],
    ticks: Sequence[tuple[float, str]],
    thresholds: Sequence[tuple[float, str]],
    shown: Callable[[float], str],
) -> Chart:
    """Lines of values; `scale` gives 0 to 1 for a value. Where there is none the line is broken."""
    chart = _empty(key, title, note, places, [(name, word) for name, word, _ in series])
    chart.ticks = [(_y(scale(value), 1), word) for value, word in ticks]
    chart.thresholds = [(_y(scale(value), 1), word) for value, word in thresholds]
    for name, _, values in series:
        run: list[str] = []
        for place, value in zip(chart.places, values, strict=True):
            if value is None:
                _end(chart, name, run)
                continue
            x, y = round(place.x + place.width / 2, 1), _y(min(1.0, max(0.0, scale(value))), 1)
            chart.dots.append(Dot(x, y, name))
            run.append(f"{x},{y}")
        _end(chart, name, run)
    chart.rows = _rows(
        chart,
        places,
        [
            ["none" if (value := values[number]) is None else shown(value) for _, _, values in series]
            for number in range(len(places))
        ],
    )
    return chart


def _end(chart: Chart, name: str, run: list[str]) -> None:
    if len(run) > 1:
        chart.lines.append((name, " ".join(run)))
    run.clear()


def _empty(key: str, title: str, note: str, places: Labelled, legend: list[tuple[str, str]]) -> Chart:
    step = max(NARROWEST, (WIDTH - LEFT) / max(1, len(places)))
    every = max(1, math.ceil(80 / step))  # a label takes so much room
    drawn = [
        Place(round(LEFT + step * number, 1), round(step, 1), label, label, address, number % every == 0)
        for number, (label, address) in enumerate(places)
    ]
    width = round(LEFT + step * len(places) + 8, 1)
    return Chart(key, title, note, width, drawn, legend, ticks=[], head=[word for _, word in legend], rows=[])


def _rows(chart: Chart, places: Labelled, cells: Sequence[list[str]]) -> list[tuple[str, str, list[str]]]:
    """The numbers as a table, and said at each place."""
    for number, (place, said) in enumerate(zip(chart.places, cells, strict=True)):
        words = ", ".join(f"{word} {cell}" for (_, word), cell in zip(chart.legend, said, strict=True))
        chart.places[number] = replace(place, said=f"{place.label}: {words}")
    return [(label, address, said) for (label, address), said in zip(places, cells, strict=True)]


def _y(value: float, top: float) -> float:
    floor = HEIGHT - BOTTOM
    return round(floor - (floor - TOP) * (value / top if top else 0), 1)


def _round_up(value: float) -> float:
    if value <= 1:
        return 1
    size = 10 ** math.floor(math.log10(value))
    return next(float(step * size) for step in (1, 2, 5, 10) if step * size >= value)


def log_scale(low: float, high: float) -> Callable[[float], float]:
    """A scale on which each tenfold is as far as the last."""
    span = math.log10(high / low)
    return lambda value: math.log10(max(low, value) / low) / span
