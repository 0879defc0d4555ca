# SPDX-License-Identifier: Apache-2.0
"""The page of a report: tiles, sections, tables and charts, put into HTML by Jinja.

Jinja escapes every text, since names and messages of a bag may hold anything. Only charts are put
in as they are; charts.py escapes what they hold.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import jinja2

from humanoid_mujoco_ros.bags.charts import plotly_source

_ASSETS = Path(__file__).parent / "assets"


class BadText(str):
    """A cell in red."""

    is_bad = True


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the page."""

    value: str
    unit: str
    label: str
    mood: str = ""
    """"good" and "bad" colour the value."""


@dataclass(frozen=True)
class TableData:
    """Rows of a table."""

    headings: Sequence[str]
    """Empty texts: the table has no head."""
    rows: Sequence[Sequence[str]]
    text: Collection[int] = ()
    """Columns of words, which begin at the left."""


@dataclass(frozen=True)
class Table:
    """A card with a table."""

    kind: ClassVar[str] = "table"
    table: TableData


@dataclass(frozen=True)
class Chart:
    """A card with a chart."""

    kind: ClassVar[str] = "chart"
    html: str
    title: str = ""
    keys: Sequence[tuple[str, str]] = ()
    """Name and colour of what the chart shows."""


@dataclass(frozen=True)
class Columns:
    """Cards beside each other."""

    kind: ClassVar[str] = "columns"
    parts: Sequence[Table | Chart]


@dataclass(frozen=True)
class Details:
    """Folded up until it is asked for: a table or a text."""

    kind: ClassVar[str] = "details"
    title: str
    table: TableData | None = None
    text: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what is below it."""

    title: str
    blocks: Sequence[Table | Chart | Columns | Details]
    note: str = ""


@dataclass
class ReportPage:
    """What is on the page."""

    name: str
    subtitle: str
    remarks: list[str] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)

    def html(self) -> str:
        """The page as one file that needs no other."""
        loader = jinja2.FileSystemLoader(_ASSETS)
        environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
        template = environment.get_template("report.html.j2")
        return template.render(
            name=self.name,
            subtitle=self.subtitle,
            remarks=self.remarks,
            tiles=self.tiles,
            sections=self.sections,
            plotly=plotly_source(),
        )
