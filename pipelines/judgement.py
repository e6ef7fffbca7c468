"""A verdict as a value: the answer, the reasons and the margin it was judged with. A run keeps it in verdict.json."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Answer: TypeAlias = Literal[
    "sigmoid", "softmax", "no practical difference", "not enough evidence", "nothing to compare"
]
Contender: TypeAlias = Literal["softmax", "softmax-powerset"]
Missing: TypeAlias = Literal["sigmoid", "softmax"]
Supports: TypeAlias = Literal["sigmoid", "softmax", "neither", "caution"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Margin(_Frozen):
    """Differences at most this large make no practical difference.

    dice: in Dice; classwise_ece: in ECE; brier_relative: as a share of the mean Brier score of the two heads.
    """

    dice: Annotated[float, Field(gt=0, lt=1)] = 0.01
    classwise_ece: Annotated[float, Field(gt=0, lt=1)] = 0.01
    brier_relative: Annotated[float, Field(gt=0, lt=1)] = 0.05


class Reason(_Frozen):
    """One thing that speaks for a head, for neither, or for caution; value, low and high where a number carries it."""

    code: str
    title: str
    text: str
    supports: Supports
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Verdict(_Frozen):
    """Which last layer, how sure, and why.

    contender: the softmax the answer is about; None where there is nothing to compare, and only there `missing` says
    which head the run would need. confidence: "strong" for a settled answer with at least three seeds and honest
    intervals. would_change: what would make another answer. images_needed: how many more images (or groups) like these
    would settle an open question, None when none would or it is settled.
    """

    answer: Answer
    contender: Contender | None
    missing: Missing | None = None
    headline: str
    confidence: Literal["strong", "tentative"]
    reasons: tuple[Reason, ...]
    would_change: tuple[str, ...]
    images_needed: int | None
    split: str
    seeds: tuple[int, ...]
    margin: Margin

    def text(self) -> str:
        """The verdict for a terminal."""
        sure = self.confidence if self.missing is None else "no comparison"
        lines = [self.headline, f"({sure}; {self.split} split; seeds {', '.join(map(str, self.seeds))})", ""]
        for reason in self.reasons:
            lines += [f"[{reason.supports}] {reason.title}", f"    {reason.text}"]
        if self.would_change:
            title = "What would change this:" if self.missing is None else "What is missing:"
            lines += ["", title] + [f"  - {item}" for item in self.would_change]
        return "\n".join(lines)
