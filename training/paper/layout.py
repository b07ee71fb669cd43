"""Records -> a table in the paper's layout: one line for each method and K, the paper's beside."""

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from training.paper.records import Measured, Record
from training.paper.tables import Row

_PROTOCOLS = {
    "honest": "nothing is chosen on test data; accuracy and F1 at the calibrated threshold",
    "paper": "checkpoint and threshold are chosen on the test images, as the authors' code does: "
    "this flatters",
}


class Spread(BaseModel):
    """Mean and sample standard deviation over the draws, as fractions; no deviation of one draw."""

    model_config = ConfigDict(frozen=True)

    mean: float
    sd: float | None

    def __str__(self) -> str:
        """In percent, as the paper prints it."""
        deviation = "" if self.sd is None else f" ± {100 * self.sd:.1f}"
        return f"{100 * self.mean:.1f}{deviation}"


class Cell(BaseModel):
    """One row at one K under one protocol.

    Attributes
    ----------
    row, k, protocol
        Its place.
    draws
        How many runs it sums up.
    auroc, accuracy, f1
        Over those runs.
    published
        The published AUROC in percent, where it is known.
    """

    model_config = ConfigDict(frozen=True)

    row: str
    k: int
    protocol: str
    draws: int
    auroc: Spread
    accuracy: Spread
    f1: Spread
    published: str | None


def cells_of(rows: Sequence[Row], records: Sequence[Record]) -> list[Cell]:
    """Sum up the records: a cell for each row, K and protocol that has any."""
    cells = []
    for row in rows:
        for k in row.ks:
            own = [record for record in records if (record.row, record.k) == (row.name, k)]
            if not own:
                continue
            for protocol in _PROTOCOLS:
                measured: list[Measured] = [getattr(record, protocol) for record in own]
                cells.append(
                    Cell(
                        row=row.name,
                        k=k,
                        protocol=protocol,
                        draws=len(own),
                        auroc=_spread([m.auroc for m in measured]),
                        accuracy=_spread([m.point.accuracy for m in measured]),
                        f1=_spread([m.point.f1 for m in measured]),
                        published=row.published.get(k),
                    )
                )
    return cells


def markdown(title: str, rows: Sequence[Row], cells: Sequence[Cell], notes: Sequence[str]) -> str:
    """Lay the cells out, one table for each protocol.

    Parameters
    ----------
    title
        Heading of the document.
    rows
        Decide the order of the lines and what they are called.
    cells
        What to show; percent.
    notes
        Sentences below the tables.
    """
    lines = [f"# {title}"]
    for protocol, meaning in _PROTOCOLS.items():
        lines += [
            "",
            f"## Protocol `{protocol}`: {meaning}",
            "",
            "| method | K | draws | AUROC | ACC | F1 | published AUROC |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            for cell in cells:
                if (cell.row, cell.protocol) == (row.name, protocol):
                    columns: list[object] = [row.title, cell.k or "-", cell.draws]
                    columns += [cell.auroc, cell.accuracy, cell.f1, cell.published or "-"]
                    lines.append(f"| {' | '.join(map(str, columns))} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])


def _spread(values: Sequence[float]) -> Spread:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(mean=float(np.mean(values)), sd=sd)
