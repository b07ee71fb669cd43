"""Command-line options: those that several commands share, and those made from settings models.

A setting's name, type, description, default and range are written once, in the field of its
pydantic model. `settings_command` turns the fields into options when they are first needed, so a
command's help never loads another command's settings.
"""

import inspect
import pkgutil
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typer
from typer.core import TyperCommand

from wscxr.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic.fields import FieldInfo

Settings = TypeVar("Settings", bound="BaseModel")

BundlePath = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Folder of a bundle: model_store/NAME/VERSION.")
]
Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N; a missing device is an error.")
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="auto|torch|openvino",
        help="What runs the networks; auto: openvino on a CPU where it is installed.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|float32|bfloat16",
        help="What they compute in; auto: bfloat16 on a GPU that multiplies it.",
    ),
]
TrustedKeyFiles = Annotated[
    str | None,
    typer.Option(
        "--trusted-keys",
        metavar="PATH,...",
        envvar="WSCXR_TRUSTED_KEYS",
        help="Take only bundles signed by one of these public keys: files, or folders of *.pem.",
    ),
]
NormalFolder = Annotated[
    Path | None, typer.Option("--normal", metavar="DIR", help="Folder of normal images.")
]
AbnormalFolder = Annotated[
    Path | None, typer.Option("--abnormal", metavar="DIR", help="Folder of abnormal images.")
]
Manifest = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="path,label[,patient_id,split,view] instead of two folders."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Skip unreadable files, and name each one.")
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON here.")]

_LIMITS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "multiple_of": "a multiple of {}",
}
_METAVARS: dict[object, str] = {int: "INT", float: "NUMBER", Path: "PATH"}


@dataclass(frozen=True)
class SettingOption:
    """One setting as an option.

    Attributes
    ----------
    name
        The field's name, ``image_size``; the option is ``--image-size``.
    help
        The field's description; `notes` follow it in brackets.
    metavar
        Stands for the value in the help; None for a switch (``--mixing/--no-mixing``).
    notes
        Range, defaults and environment variable, in words.
    panel
        Heading of the group of options in the help; None for the first group.
    """

    name: str
    help: str
    metavar: str | None
    notes: tuple[str, ...] = ()
    panel: str | None = None


def options_of(
    model: "type[BaseModel]",
    only: Iterable[str] = (),
    *,
    defaults: Mapping[str, Mapping[str, object]] | None = None,
    panel: str | None = None,
) -> list[SettingOption]:
    """List the fields of a settings model as options.

    Parameters
    ----------
    model
        A `pydantic.BaseModel`; of a `pydantic_settings.BaseSettings` each option also names its
        environment variable. A field whose ``json_schema_extra`` has a ``metavar`` keeps that.
    only
        Names of the fields to list, in this order; all but nested models where it is empty.
    defaults
        Defaults other than the fields' own, by field name and then by what they belong to:
        ``{"image_size": {"paper": 256}}``.
    panel
        Heading of the group of options in the help.
    """
    names = tuple(only) or tuple(
        name for name, field in model.model_fields.items() if not _is_model(field.annotation)
    )
    prefix = model.model_config.get("env_prefix")
    options = []
    for name in names:
        field = model.model_fields[name]
        notes = _limits(field) + _default(field)
        notes += [
            f"{where}: {_shown(value)}" for where, value in (defaults or {}).get(name, {}).items()
        ]
        if isinstance(prefix, str) and prefix:
            notes.append(f"env: {(prefix + name).upper()}")
        options.append(
            SettingOption(name, field.description or "", _metavar(field), tuple(notes), panel)
        )
    return options


def settings_command(source: str, only: Sequence[str] = ()) -> type[TyperCommand]:
    """Make the class of a command whose options come from settings; use it as ``cls=``.

    The command's function takes a `typer.Context` and reads the settings that the user gave by
    `given_settings`.

    Parameters
    ----------
    source
        ``package.module:name`` of a settings model, or of a function without arguments that
        returns a list of `SettingOption`. It is imported when the command runs or shows its help.
    only
        See `options_of`.
    """

    class SettingsCommand(TyperCommand):
        """Adds the options when the command is first asked for its parameters."""

        _settings: frozenset[str] | None = None

        def get_params(self, ctx: Any) -> list[Any]:
            if self._settings is None:
                found: Any = pkgutil.resolve_name(source)
                is_model = hasattr(found, "model_fields")
                options = options_of(found, only) if is_model else found()
                self._settings = frozenset(option.name for option in options)
                self.params = [*self.params, *_parameters(options)]
            return super().get_params(ctx)

        def invoke(self, ctx: Any) -> Any:
            values = {name: ctx.params.pop(name) for name in self._settings or ()}
            ctx.obj = {name: value for name, value in values.items() if value is not None}
            return super().invoke(ctx)

    return SettingsCommand


def given_settings(context: typer.Context) -> dict[str, Any]:
    """The settings that the user gave to a command of `settings_command`, by field name.

    Values are text, or True and False for switches: the settings model converts and checks them.
    """
    given: dict[str, Any] = context.obj
    return given


def validated(kind: type[Settings], settings: Mapping[str, Any]) -> Settings:
    """Make settings from what a person gave.

    Raises
    ------
    ConfigError
        A setting is unknown or out of range; the message names each one.
    """
    from pydantic import ValidationError

    try:
        return kind(**settings)
    except ValidationError as error:
        raise ConfigError(f"invalid settings: {describe_invalid(error)}") from None


def describe_invalid(error: "ValidationError") -> str:
    """Say on one line which settings cannot be used and why, without their values."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'settings'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False)
    )


def split_commas(value: object) -> object:
    """Split text at commas, for fields that hold several values; anything else stays as it is.

    Put it into a `pydantic.BeforeValidator`: what an option gives is text.
    """
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _parameters(options: Sequence[SettingOption]) -> list[Any]:
    """The options as typer's own objects, made by typer from a function with that signature."""

    def holder() -> None:
        """Never called; typer reads its signature."""

    vars(holder)["__signature__"] = inspect.Signature(
        [
            inspect.Parameter(
                option.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=_annotation(option),
            )
            for option in options
        ]
    )
    app = typer.Typer(add_completion=False)
    app.command()(holder)
    return list(typer.main.get_command(app).params)


def _annotation(option: SettingOption) -> Any:
    kind = bool if option.metavar is None else str
    flag = "--" + option.name.replace("_", "-")
    flags = [f"{flag}/--no-{flag[2:]}"] if kind is bool else [flag]
    if len(option.name) == 1:
        flags.append("-" + option.name)
    notes = f" [{'; '.join(option.notes)}]" if option.notes else ""
    shown = typer.Option(
        *flags,
        metavar=option.metavar,
        help=option.help + notes,
        show_default=False,
        rich_help_panel=option.panel,
    )
    return Annotated[kind | None, shown]


def _metavar(field: "FieldInfo") -> str | None:
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "metavar" in extra:
        return str(extra["metavar"])
    kind = _without_none(field.annotation)
    if kind is bool:
        return None
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    if get_origin(kind) is tuple:
        return "A,B"
    return _METAVARS.get(kind, "TEXT")


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(kind for kind in get_args(annotation) if kind is not type(None))
    return annotation


def _is_model(annotation: Any) -> bool:
    from pydantic import BaseModel

    kind = _without_none(annotation)
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def _limits(field: "FieldInfo") -> list[str]:
    return [
        text.format(getattr(limit, name))
        for limit in field.metadata
        for name, text in _LIMITS.items()
        if getattr(limit, name, None) is not None
    ]


def _default(field: "FieldInfo") -> list[str]:
    if field.is_required() or field.default_factory or field.default in (None, "", ()):
        return []
    return [f"default: {_shown(field.default)}"]


def _shown(value: object) -> str:
    """A default as a user would type it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(_shown, value))
    return str(value.value if isinstance(value, Enum) else value)
