"""What a user says about arrays: which last layer they come from, what their values are, what each channel means."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.config import build

Activation: TypeAlias = Literal["sigmoid", "softmax"]
Values: TypeAlias = Literal["probabilities", "logits"]


class Declaration(BaseModel):
    """What the arrays of one head are said to be.

    head: the activation; a softmax over label sets is a softmax too.
    values: probabilities, after the activation; logits, before it. The log-probabilities of a softmax are logits:
    its softmax gives the same probabilities back.
    classes: name of every channel in order, background included; empty when they were not told.
    background: the one of `classes` that means "nothing here"; None when there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Activation
    values: Values
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    background: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.classes
        if len(set(names)) != len(names) or not all(name.isprintable() and name == name.strip() for name in names):
            raise ValueError("class names must differ and have no line breaks or blanks around them")
        if self.background is not None and self.background not in names:
            raise ValueError(f"background {self.background!r} is not one of the classes; name every channel in classes")
        return self

    @property
    def what(self) -> str:
        """Head and values in two words, such as "softmax logits"."""
        return f"{self.head} {self.values}"


def declare(head: Activation, values: Values, classes: str | None, background: str | None) -> Declaration:
    """A declaration from what a user typed. classes: comma-separated; background counts only if it is one of them.

    Raises ConfigError for a class that is named twice or has no name.
    """
    names = () if classes is None else tuple(name.strip() for name in classes.split(","))
    known = background if background in names else None
    return build(Declaration, {"head": head, "values": values, "classes": names, "background": known})
