"""What a page shows and a report prints: figures that share a table and an explanation."""

from typing import NamedTuple

import pandas as pd

from dashboard.figures.drawn import Drawn


class Picture(NamedTuple):
    """A figure. key: its name on the page and in file names; alt: what it shows, for those who do not see it."""

    key: str
    figure: Drawn
    alt: str


class Panel(NamedTuple):
    """Figures side by side, the table behind them and how to read them.

    key: unique among a page's panels, part of file names. how: an entry of HOW_TO_READ. percent: columns of the table
    that are shares. columns: how many figures fit side by side in a wide window.
    """

    key: str
    title: str
    pictures: tuple[Picture, ...]
    table: pd.DataFrame
    how: str
    percent: tuple[str, ...] = ()
    columns: int = 3
