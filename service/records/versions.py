"""The versions of a model on the analyses that readers judged."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from service.records.drift.statistics import exact_interval
from service.records.record import Filter, Order, RecordedAnalysis, Verdict
from wscxr.bundle.identity import ModelIdentity
from wscxr.model.calibration import Decision

if TYPE_CHECKING:
    from service.records.store import Records

_PAGE = 200


class CalledAbnormal(BaseModel):
    """How many judged analyses a version called abnormal; with the exact 95 % interval."""

    model_config = ConfigDict(frozen=True)

    n: int = Field(description="Analyses that readers judged so.")
    called: int = Field(description="Those of them that the version called abnormal.")
    low: float = Field(description="Exact interval (Clopper-Pearson), 95 %: its lower end,")
    high: float = Field(description="and its upper end.")


class ReviewedVersion(BaseModel):
    """A version on the analyses of its own that readers judged."""

    model_config = ConfigDict(frozen=True)

    model: ModelIdentity
    abnormal: CalledAbnormal | None = Field(
        description="Of those judged abnormal: its sensitivity. Null where there is none."
    )
    normal: CalledAbnormal | None = Field(
        description="Of those judged normal: its false alarms. Null where there is none."
    )


class ReviewedVersions(BaseModel):
    """The versions of a model on the analyses that readers judged."""

    versions: list[ReviewedVersion] = Field(description="The one used last comes first.")


def reviewed_versions(records: "Records", name: str) -> ReviewedVersions:
    """Count what each version of a model said of the analyses that readers judged.

    The versions answered different images: figures of two of them differ by that, too.

    Parameters
    ----------
    name
        The model's.
    """
    found: dict[ModelIdentity, dict[Verdict, list[Decision]]] = {}
    for analysis in _reviewed(records, name):
        if analysis.review is not None:
            decisions = found.setdefault(analysis.model, defaultdict(list))
            decisions[analysis.review.verdict].append(analysis.decision)
    return ReviewedVersions(
        versions=[
            ReviewedVersion(
                model=model,
                abnormal=_called(decisions[Verdict.ABNORMAL]),
                normal=_called(decisions[Verdict.NORMAL]),
            )
            for model, decisions in found.items()
        ]
    )


def _reviewed(records: "Records", name: str) -> Iterator[RecordedAnalysis]:
    wanted, cursor = Filter(model=name, reviewed=True), None
    while True:
        items, cursor = records.page(wanted, Order.NEWEST, _PAGE, cursor)
        yield from items
        if cursor is None:
            return


def _called(decisions: list[Decision]) -> CalledAbnormal | None:
    if not decisions:
        return None
    called = decisions.count(Decision.ABNORMAL)
    low, high = exact_interval(called, len(decisions))
    return CalledAbnormal(n=len(decisions), called=called, low=low, high=high)
