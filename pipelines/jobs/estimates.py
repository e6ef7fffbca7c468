"""What a run would take, as `python -m pipelines estimate` leaves it for those who asked."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.jobs.job import Job
from pipelines.progress import clock
from pipelines.sentences import size_in_words


class Estimate(BaseModel):
    """Measured on this machine with the real networks.

    stages: name and expected seconds of each stage of the run, in order. needed, free: bytes on disk. steps: of one
    seed's training; step_seconds: of all heads together. parameters: of one network. device: such as "cpu".
    """

    model_config = ConfigDict(frozen=True)

    stages: Annotated[list[tuple[str, float]], Field(min_length=1)]
    needed: int
    free: int
    steps: int
    step_seconds: float
    parameters: int
    device: str

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(seconds for _, seconds in self.stages)

    def seconds_of(self, kind: str) -> float:
        """Of all stages of a kind, such as "train"."""
        return sum(seconds for name, seconds in self.stages if name.partition(" ")[0] == kind)

    def text(self) -> str:
        """For a terminal."""
        train, predict = self.seconds_of("train"), self.seconds_of("predict")
        return (
            f"about {clock(self.seconds)} on {self.device}: training {clock(train)} ({self.steps} steps a seed of "
            f"{self.step_seconds:.2f} s, all heads together), predicting {clock(predict)}, checking and measuring "
            f"{clock(self.seconds - train - predict)}\n"
            f"up to {size_in_words(self.needed)} on disk, where {size_in_words(self.free)} are free; "
            f"{self.parameters / 1e6:.1f} million weights a network"
        )


def estimate_of(job: Job) -> Estimate | None:
    """What an `estimate` job found; None when it has not, or another version left it."""
    try:
        return Estimate.model_validate(job.result())
    except ValidationError:
        return None
