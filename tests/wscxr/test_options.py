import sys
from enum import StrEnum
from pathlib import Path
from subprocess import run
from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, BeforeValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from typer.testing import CliRunner

from wscxr.errors import ConfigError
from wscxr.options import (
    given_settings,
    options_of,
    settings_command,
    split_commas,
    validated,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    x: int = 0


class Example(BaseModel):
    side: int = Field(default=160, ge=32, le=2048, description="Side, px.")
    share: float | None = Field(default=None, gt=0, description="A share.")
    colour: Colour = Field(default=Colour.RED, description="Its colour.")
    kind: Literal["a", "b"] = "a"
    mixing: bool = Field(default=True, description="Mix.")
    names: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = ()
    where: Path = Path("here")
    k: int = Field(default=3, json_schema_extra={"metavar": "N"})
    inner: Inner = Inner()


class FromEnvironment(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="WSCXR_")

    port: int = Field(default=8000, description="Port.")


def command(*arguments: str) -> dict[str, Any]:
    """What a command of `Example` was given."""
    app = typer.Typer()
    found: dict[str, Any] = {}

    @app.command(cls=settings_command(f"{__name__}:Example"))
    def example(context: typer.Context, out: str = "nowhere") -> None:
        found.update(given_settings(context), out=out)

    ran = CliRunner().invoke(app, list(arguments))
    assert ran.exit_code == 0, ran.output
    return found


def test_only_what_was_given_reaches_the_settings() -> None:
    assert command() == {"out": "nowhere"}
    given = command("--side=64", "--no-mixing", "-k", "5", "--names", "x, y", "--out=there")
    assert given == {"side": "64", "mixing": False, "k": "5", "names": "x, y", "out": "there"}
    del given["out"]
    assert validated(Example, given) == Example(side=64, mixing=False, k=5, names=("x", "y"))


def test_a_field_says_everything_once() -> None:
    options = {option.name: option for option in options_of(Example)}
    assert options.keys() == Example.model_fields.keys() - {"inner"}
    side = options["side"]
    assert (side.help, side.metavar) == ("Side, px.", "INT")
    assert side.notes == ("at least 32", "at most 2048", "default: 160")
    assert options["share"].notes == ("above 0",)
    assert options["colour"].metavar == "red|blue"
    assert options["kind"].metavar == "a|b"
    assert (options["mixing"].metavar, options["mixing"].notes) == (None, ("default: on",))
    assert options["names"].metavar == "A,B"
    assert (options["where"].metavar, options["where"].notes) == ("PATH", ("default: here",))
    assert options["k"].metavar == "N"


def test_other_defaults_stand_beside_the_own_one() -> None:
    [option] = options_of(Example, ["side"], defaults={"side": {"paper": 256}})
    assert option.notes[2:] == ("default: 160", "paper: 256")


def test_an_option_names_its_environment_variable() -> None:
    [option] = options_of(FromEnvironment)
    assert option.notes == ("default: 8000", "env: WSCXR_PORT")
    assert validated(FromEnvironment, {"port": "8001"}).port == 8001


def test_what_cannot_be_used_is_named_without_its_value() -> None:
    with pytest.raises(ConfigError, match=r"invalid settings: side: .*; colour: ") as caught:
        validated(Example, {"side": "31", "colour": "secret"})
    assert "secret" not in str(caught.value)


def test_help_loads_no_pytorch_and_shows_the_presets() -> None:
    code = (
        "import sys; from wscxr.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules)"
    )
    for name, shown in (
        ("train", "paper: 256"),
        ("pretrain backbone", "default: both"),
        ("pretrain lungs", "default: 3000"),
        ("reproduce", ""),
    ):
        ran = run(
            [sys.executable, "-c", code, *name.split(), "--help"],
            capture_output=True,
            text=True,
            env={"COLUMNS": "400", "PATH": ""},
            check=True,
        )
        assert ran.stdout.endswith("False\n")
        assert shown in " ".join(ran.stdout.split())
