"""The rows of each table: methods, numbers K of anomaly images, published figures."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from training.methods.settings import (
    AuthorsRecipe,
    Method,
    PatchCore,
    PositionalWscxr,
    SimpleNet,
    Wscxr,
)
from training.paper.cutpaste import CutPaste
from training.paper.ddad import Ddad
from training.paper.network import Budget, PictureMethod
from training.paper.squid import Squid


class TableName(StrEnum):
    """A table of the paper."""

    TABLE1 = "table1"
    """The compared methods, and WSCXR at each K."""

    TABLE2 = "table2"
    """WSCXR at K = 16 with mining and mixing on or off."""

    ABLATION = "ablation"
    """Our default method at K = 2 and 16, each of its parts changed alone."""


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    name
        Short, for options and file names.
    title
        For the reader.
    method
        Settings of the method to train.
    ks
        Each K it is trained with; 0 alone where it uses no anomaly image.
    published
        AUROC on ZhangLab's official test part in percent, with its standard deviation, by K:
        WSCXR's own from its paper, CutPaste's and SQUID's from the SQUID paper (CVPR 2023) as
        others quote it. Rows of the paper that could not be read have none.
    archive
        Share of abnormal images in the unlabelled archive that it learns from too; None without
        one.
    witness
        Whether the lesion network, where the settings name one, is heard beside the method: it is
        a part of our default, and of nobody else's method.
    """

    name: str
    title: str
    method: Method | PictureMethod
    ks: tuple[int, ...]
    published: dict[int, str]
    archive: float | None = None
    witness: bool = False


_KS = (2, 4, 8, 16)
_ARCHIVES = (0.0, 0.1, 0.3)


_ABLATIONS: tuple[tuple[str, str, dict[str, Any], bool], ...] = (
    ("default", "default", {}, True),
    ("no-lesions", "without the lesion network", {}, False),
    ("one-mean", "one mean for all places", {"by_place": False}, True),
    ("rank-32", "32 whitened directions", {"rank": 32}, True),
    ("rank-160", "160 whitened directions", {"rank": 160}, True),
    ("no-mixing", "mixing off", {"mixing": False}, True),
    ("mining", "mining on, r = 0.2", {"mining": True}, True),
    ("mining-half", "mining on, r = 0.5", {"mining": True, "r": 0.5}, True),
)


def rows_of(table: TableName, budget: Budget) -> list[Row]:
    """All rows of a table.

    Parameters
    ----------
    table
        Which.
    budget
        How much work networks of their own may do.
    """
    match table:
        case TableName.TABLE1:
            return [
                Row("cutpaste", "CutPaste", CutPaste.within(budget), (0,), {0: "73.9 ± 3.9"}),
                Row("squid", "SQUID", Squid.within(budget), (0,), {0: "87.6 ± 1.5"}),
                Row("ddad", "DDAD", Ddad.within(budget), _KS, {}),
                Row("patchcore", "PatchCore", PatchCore(), (0,), {}),
                Row("simplenet", "SimpleNet", SimpleNet(), (0,), {}),
                Row("authors", "WSCXR, authors' code", AuthorsRecipe(), _KS, {}),
                Row("default", "our default", PositionalWscxr(), _KS, {}, witness=True),
                *(
                    Row(
                        f"unlabelled-{100 * share:.0f}",
                        f"+ unlabelled, {share:.0%} abnormal",
                        PositionalWscxr(),
                        _KS,
                        {},
                        share,
                        witness=True,
                    )
                    for share in _ARCHIVES
                ),
                Row("wscxr", "WSCXR", Wscxr(), _KS, {2: "94.7 ± 1.5", 16: "97.2 ± 0.2"}),
            ]
        case TableName.TABLE2:
            return [
                Row(
                    f"mining-{_word(mining)}-mixing-{_word(mixing)}",
                    f"mining {_word(mining)}, mixing {_word(mixing)}",
                    Wscxr(mining=mining, mixing=mixing),
                    (16,),
                    {16: "97.2 ± 0.2"} if mining and mixing else {},
                )
                for mining in (False, True)
                for mixing in (False, True)
            ]
        case TableName.ABLATION:
            return [
                Row(name, title, PositionalWscxr(**changes), (2, 16), {}, witness=witness)
                for name, title, changes, witness in _ABLATIONS
            ]


def _word(on: bool) -> str:
    return "on" if on else "off"
