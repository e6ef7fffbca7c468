"""What a report is about: a run, what the check found in its data, and the verdict it is told with."""

from typing import Any, Final, NamedTuple

from dashboard.figures.theme import LIGHT, Theme
from dashboard.panels import Selection
from pipelines.schema import Head, Split
from pipelines.store import Run
from pipelines.verdict import Verdict

THEME: Final[Theme] = LIGHT  # paper is white


class Subject(NamedTuple):
    """One run with its verdict. split: the one that was judged; seeds: added up in figures."""

    run: Run
    dataset: dict[str, Any]
    verdict: Verdict
    split: Split
    seeds: tuple[int, ...]

    @property
    def contender(self) -> Head:
        """The softmax that sigmoid is compared with; where there is nothing to compare, a head to be shown alone."""
        return self.verdict.contender or self.run.heads[0]

    @property
    def shown(self) -> Selection:
        """What pages show of it with their usual controls."""
        return Selection(self.run, self.split, self.seeds, self.contender)

    @property
    def pair(self) -> bool:
        """Whether there are two heads to compare."""
        return self.verdict.missing is None
