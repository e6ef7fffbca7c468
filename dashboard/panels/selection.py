"""What of a run a panel is about."""

from dataclasses import dataclass

from dashboard import loaders
from pipelines.schema import ALL_SEEDS, Head, Region, Split, Variant
from pipelines.store import Run
from pipelines.verdict import missing_head


@dataclass(frozen=True)
class Selection:
    """What a page's controls say of a run, or a report of one; a panel reads the fields that its page has controls for.

    seeds: all of the run, or one. contender: a head of the run, which sigmoid is compared with; where there is nothing
    to compare, the head that is shown alone; panels that show every head do not ask for it. class_name: None for the
    mean of the classes.
    """

    run: Run
    split: Split
    seeds: tuple[int, ...]
    contender: Head = "softmax"
    variant: Variant = "raw"
    region: Region = "all"
    metric: str = "dice"
    class_name: str | None = None

    @property
    def heads(self) -> tuple[Head, ...]:
        """Sigmoid, then the one it is compared with; or one alone."""
        return loaders.shown_heads(self.run, self.contender)

    @property
    def pair(self) -> bool:
        """Whether the run has two heads to compare."""
        return missing_head(self.run.heads) is None

    @property
    def row_seed(self) -> int:
        """`seed` of the stored rows over these seeds."""
        return ALL_SEEDS if self.seeds == self.run.seeds else self.seeds[0]
