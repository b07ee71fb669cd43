"""Fills the reference pages of the documentation from the code, when MkDocs builds them.

A page asks with a comment on a line of its own: ``<!-- settings: MODULE:CLASS -->`` becomes a table
of that settings model, ``<!-- commands -->`` the help of every command. Neither can go stale.
"""

import importlib
import json
import re
from collections.abc import Iterator
from enum import Enum
from functools import cache
from html import escape
from importlib.metadata import entry_points
from typing import Any

import griffe
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.cli import get_docs_for_click

from wscxr.cli import app

_PLACEHOLDER = re.compile(r"^<!-- (settings|commands)(?:: (\S+):(\S+))? -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: object) -> str:
    """Replace the placeholders of one page; MkDocs calls this for each."""
    return _PLACEHOLDER.sub(_fill, markdown)


def _fill(found: re.Match[str]) -> str:
    kind, module, name = found.groups()
    if kind == "commands":
        return command_reference()
    return settings_table(getattr(importlib.import_module(module), name))


def settings_table(model: type[BaseModel]) -> str:
    """Describe a settings model as a Markdown table, one row for each field.

    A model that reads environment variables is listed by their names, any other by its fields.
    """
    head = ["| name | default | meaning |", "|---|---|---|"]
    prefix = str(model.model_config.get("env_prefix") or "")
    return "\n".join([*head, *_rows(model, prefix)])


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    explained = _attributes(model)
    for name, field in model.model_fields.items():
        kind = field.annotation
        full = prefix + (name.upper() if prefix else name)
        if prefix and isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _rows(kind, f"{full}__")
            continue
        meaning = escape(" ".join((field.description or explained.get(name, "")).split()))
        yield f"| `{full}` | {_default(field)} | {meaning.replace('|', '&#124;')} |"


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Meanings given in the numpydoc section "Attributes" of a model, by field."""
    sections = griffe.Docstring(model.__doc__ or "", parser="numpy").parse(warnings=False)
    return {
        name.strip(): str(item.description)
        for section in sections
        if isinstance(section, griffe.DocstringSectionAttributes)
        for item in section.value
        for name in item.name.split(",")
    }


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.default
    if value is PydanticUndefined:
        return "computed"
    if value is None or value == ():
        return "none"
    if isinstance(value, BaseModel):
        return f"`{getattr(value, 'name', type(value).__name__)}`"
    if isinstance(value, tuple):
        return f"`{json.dumps(value)}`"
    return f"`{value.value if isinstance(value, Enum) else value}`"


@cache
def command_reference() -> str:
    """Render the help of every command, those of the entry points among them, as Markdown."""
    whole = typer.Typer()
    for part in (app, *(point.load() for point in entry_points(group="wscxr.commands"))):
        whole.add_typer(part)
    command = typer.main.get_command(whole)
    return get_docs_for_click(obj=command, ctx=typer.Context(command), name="wscxr", indent=1)
