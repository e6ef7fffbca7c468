"""Settings of a run to where its networks come from, in words: trained here, or imported and what was said of them."""

from pathlib import PurePath
from typing import Any, Final

from pipelines.schema import Head

_ORIGINS: Final = {"predictions": "imported predictions", "models": "imported models"}


def network_facts(config: dict[str, Any]) -> list[str]:
    """A few words on the networks: architecture, encoder and loss, or that they were imported. config: of a run."""
    training = config["training"]
    if training is not None:
        return [f"{training['architecture']}, {training['encoder']}", f"loss {training['loss']}"]
    return [_ORIGINS[config["imported"]["origin"]]]


def declared_heads(config: dict[str, Any]) -> dict[Head, dict[str, Any]]:
    """By head that was imported what was said of it (config.ImportedHead); empty for a run that was trained here."""
    return dict((config.get("imported") or {"heads": {}})["heads"])


def declared(one: dict[str, Any]) -> str:
    """What was said of a head, such as "out.npz (arrays), logits, channels in order: a, b".

    A file or folder is named without the folders above it: a report may be read by others.
    """
    channels = ", ".join(map(str, one["channels"])) or "not named"
    nothing = f"; {one['background']} means that nothing is there" if one["background"] else ""
    notes = "".join(f"; {name} {value}" for name, value in one["notes"].items())
    name = PurePath(str(one["path"])).name
    return f"{name} ({one['format']}), {one['values']}, channels in order: {channels}{nothing}{notes}"
