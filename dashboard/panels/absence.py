"""What has no value because no pixel carries a class, in sentences for pages and the report; "" where all is there."""

from typing import Final

from dashboard import loaders
from pipelines.schema import Split
from pipelines.sentences import begun, no_value, none_carries, not_tuned
from pipelines.store import Run

# What is right of the pixels without a class needs none with it.
_WITHOUT_TRUTH: Final = ("specificity", "accuracy", "pixel_accuracy")


def left_out(run: Run, split: Split, metric: str) -> tuple[str, ...]:
    """Classes that have no score in these images, because no pixel carries them."""
    return () if metric in _WITHOUT_TRUTH else loaders.absent_classes(run, split)


def note(run: Run, split: Split) -> str:
    """Which classes the images shown do not have, and what that does to their scores."""
    absent = loaders.absent_classes(run, split)
    if not absent:
        return ""
    them = "it" if len(absent) == 1 else "them"
    return (
        f"{begun(none_carries(absent, split))}, so scores that need true pixels of {them} have no value, and the mean "
        f"of the classes leaves {them} out."
    )


def why_no_value(run: Run, split: Split, label: str, class_name: str | None = None) -> str:
    """Why a metric of a class has no value. label: what the metric is called; class_name: None for the mean of all."""
    names = list(loaders.dataset(run)["classes"])
    absent = loaders.absent_classes(run, split)
    name = names[0] if len(names) == 1 else class_name
    if name is None:
        return f"{begun(no_value(f'the mean {label}', 'any class', split))}." if set(absent) == set(names) else ""
    return f"{begun(no_value(label, name, split))}." if name in absent else ""


def untuned(run: Run, class_name: str | None = None) -> str:
    """Which thresholds could not be tuned on validation, and what is used. class_name: None for every class."""
    absent = loaders.absent_classes(run, "val") if "val" in run.splits else ()
    names = [name for name in absent if class_name in (None, name)]
    return f"{begun(not_tuned(names, 'val'))}." if names else ""
