"""Commands of the command line made of requests: Typer's parameters come from their fields and are filled into them."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from pydantic import ValidationError
from typer.core import TyperCommand
from typer.exceptions import TyperException

from pipelines.errors import ConfigError
from pipelines.requests import (
    REQUESTS,
    CheckRequest,
    Request,
    Setting,
    common_settings,
    settings_of,
    with_common,
)

Runs = Annotated[Path, typer.Option("--runs", help="Folder that holds the runs.", envvar="PIPELINES_RUNS")]
RUNS: Final = Path("runs")
_GIVEN_RUNS: Final = Annotated[Path | None, typer.Option("--runs", hidden=True)]
_ALSO: Final = "also__"  # before the name of an option that says the same as an argument


def add_command(app: typer.Typer, model: type[Request], do: Callable[[Any, Path], Any]) -> None:
    """Give an app the command of a request. do: what is done with the request and the runs folder."""

    class Later(TyperCommand):
        """Its options are made when it is called: a list of commands needs names and first lines only."""

        def make_context(self, *given: Any, **also: Any) -> Any:
            runs = None if model is CheckRequest else (Runs, RUNS)
            return _command(model, do, runs=runs).make_context(*given, **also)

    app.command(model.model_fields["command"].default, cls=Later, help=inspect.getdoc(model))(lambda: None)


def parse(words: Sequence[str]) -> tuple[Request, Path | None]:
    """A command line after `python -m pipelines` to the request it makes, and the runs folder it names, if any.

    Raises ConfigError, one line, for a command that is no long work and for options that it does not have.
    """
    known = [str(model.model_fields["command"].default) for model in REQUESTS]
    if not words or words[0] not in known:
        raise ConfigError(f"a job runs one of {', '.join(known)}; got {words[0] if words else 'nothing'!r}")
    model = REQUESTS[known.index(words[0])]
    command = _command(model, lambda request, runs: (request, runs), runs=(_GIVEN_RUNS, None))
    try:
        parsed: tuple[Request, Path | None] = command(list(words[1:]), standalone_mode=False)
    except TyperException as error:
        raise ConfigError(error.format_message()) from None
    return parsed


def _command(model: type[Request], do: Callable[..., Any], *, runs: tuple[Any, Path | None] | None) -> Any:
    """Typer's command of a request."""
    parameters: dict[str, tuple[Any, Any]] = {}
    settings = {_name(setting): setting for setting in (*settings_of(model), *common_settings(model))}
    for name, setting in settings.items():
        parameters[name] = _parameter(setting)
        if setting.also is not None:
            text = f"The same as {setting.flag}, as jobs give it."
            parameters[_ALSO + name] = (Annotated[str | None, typer.Option(setting.also, hidden=True, help=text)], None)
    if runs is not None:
        parameters["runs"] = runs

    def command(**given: Any) -> Any:
        folder = given.pop("runs", RUNS)
        return do(_request(model, settings, given), folder)

    kind = inspect.Parameter.KEYWORD_ONLY
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, kind, annotation=of, default=first) for name, (of, first) in parameters.items()]
    )
    command.__annotations__ = {name: of for name, (of, _) in parameters.items()}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(help=inspect.getdoc(model))(command)
    return typer.main.get_command(app)


def _name(setting: Setting) -> str:
    return "__".join(setting.path).replace("-", "_").replace("*", "common")


def _parameter(setting: Setting) -> tuple[Any, Any]:
    """The annotation of Typer's parameter, and its default."""
    kind: Any = str if setting.written is not None else setting.kind
    default = setting.default
    if default is not None and setting.written is not None:
        default = setting.written.write(default)
    if setting.is_argument:
        info: Any = typer.Argument(metavar=setting.flag, help=setting.help)
    else:
        flag = setting.flag
        both = kind is bool and (default or setting.path[-1] == "resume")
        info = typer.Option(f"{flag}/--no-{flag.removeprefix('--')}" if both else flag, help=setting.help)
    if setting.required and setting.also is None and setting.path[0] not in ("heads", "*"):
        return Annotated[kind, info], inspect.Parameter.empty
    return Annotated[kind if default is not None else kind | None, info], default


def _request(model: type[Request], settings: dict[str, Setting], given: dict[str, Any]) -> Request:
    """The request that options make. Raises ConfigError, one line that names the option."""
    values: dict[str, Any] = {}
    for name, setting in settings.items():
        value = given[name]
        if setting.also is not None:
            value = _same(value, given[_ALSO + name], setting, str(model.model_fields["command"].default))
        if value is None:
            continue
        place = values
        for part in setting.path[:-1]:
            place = place.setdefault(part, {})
        place[setting.path[-1]] = _read(value, setting)
    common = values.pop("*", {})
    if "heads" in model.model_fields:
        values["heads"] = with_common(values.get("heads", {}), common, model)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        named = next((one.flag for one in settings.values() if one.path == first["loc"][: len(one.path)]), "settings")
        got = "" if first["type"] == "value_error" else f" (got {first.get('input')!r})"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{named}: {message}{got}; correct it and run again") from None


def _read(value: Any, setting: Setting) -> Any:
    if setting.written is None:
        return value
    try:
        return setting.written.read(value)
    except ValueError:
        raise ConfigError(f"{setting.flag} must be {setting.written.expected}, got {value!r}") from None


def _same(value: str | None, also: str | None, setting: Setting, command: str) -> str:
    if value is None and also is None:
        raise ConfigError(f"the run has no name yet; give one, such as `python -m pipelines {command} my-networks …`")
    if None not in (value, also) and value != also:
        raise ConfigError(f"the run is called {value} and {setting.also} {also}; give one of them")
    return str(value or also)
