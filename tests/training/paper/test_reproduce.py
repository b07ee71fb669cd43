import pytest

from tests.training.paper.test_protocols import record
from training.methods.settings import Wscxr
from training.paper.reproduce import Spread, cells_of, markdown
from training.paper.rows import Row

ROWS = [
    Row("wscxr", "WSCXR", Wscxr(), (2, 16), {2: "94.7 ± 1.5"}),
    Row("none", "Never run", Wscxr(), (2,), {}),
]
RECORDS = [
    record(k=2, draw=0, auroc=0.90),
    record(k=2, draw=1, auroc=0.92),
    record(k=16, draw=0, auroc=0.95),
    record(row="other", k=2),
]


def test_a_cell_sums_up_its_own_draws() -> None:
    cells = cells_of(ROWS, RECORDS)
    assert [(cell.row, cell.k, cell.protocol, cell.draws) for cell in cells] == [
        ("wscxr", 2, "honest", 2),
        ("wscxr", 2, "paper", 2),
        ("wscxr", 16, "honest", 1),
        ("wscxr", 16, "paper", 1),
    ]
    honest, paper, single, _ = cells
    assert honest.auroc.mean == pytest.approx(0.91)
    # The sample standard deviation of 0.90 and 0.92.
    assert honest.auroc.sd == pytest.approx(0.02 / 2**0.5)
    assert paper.auroc.mean == pytest.approx(0.96)
    assert honest.accuracy.mean == pytest.approx(0.8)
    assert honest.f1.mean == pytest.approx(0.7)
    assert single.auroc.sd is None
    assert (honest.published, single.published) == ("94.7 ± 1.5", None)


def test_percent_as_the_paper_prints_it() -> None:
    assert str(Spread(mean=0.9472, sd=0.0151)) == "94.7 ± 1.5"
    assert str(Spread(mean=0.9472, sd=None)) == "94.7"


def test_the_table_has_both_protocols_and_says_which_flatters() -> None:
    text = markdown("Table I", ROWS, cells_of(ROWS, RECORDS), ["a note"])
    honest, paper = text.split("## Protocol `paper`")
    assert "| WSCXR | 2 | 2 | 91.0 ± 1.4 | 80.0 ± 0.0 | 70.0 ± 0.0 | 94.7 ± 1.5 |" in honest
    assert "| WSCXR | 16 | 1 | 95.0 | 80.0 | 70.0 | - |" in honest
    assert "| WSCXR | 2 | 2 | 96.0 ± 1.4 |" in paper
    assert "flatters" in paper
    assert "calibrated on normal images kept aside" in honest
    assert text.endswith("- a note\n")
    assert "Never run" not in text
