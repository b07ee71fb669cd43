"""`wscxr pretrain` as it is typed."""

from pathlib import Path

import pytest

from tests.helpers import run_cli
from tests.wscxr.test_cli import one_line_error
from wscxr.bundle.store import read_manifest

TINY = ["--backbone=resnet18", "--layer=layer1", "--batch-size=4", "--epochs=1", "--device=cpu"]


def test_a_backbone_of_ones_own_is_trained_and_used(phantoms: Path, tmp_path: Path) -> None:
    """From unlabelled images to a bundle, without a download."""
    out = tmp_path / "own.safetensors"
    table = tmp_path / "list.csv"
    names = sorted((phantoms / "normal").iterdir())[:4]
    table.write_text("\n".join(["path", *map(str, names)]))
    places = ("--images", phantoms / "abnormal", "--images", table)
    ran = run_cli("pretrain", *places, "--out", out, *TINY)
    assert ran.code == 0, ran.err
    assert ran.out.startswith(f"{out}: 8 radiographs, 1 epochs; on 2 others: effective rank ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["list.csv", "own.safetensors"]

    folders = ("--normal", phantoms / "normal", "--abnormal", phantoms / "abnormal")
    use = ["--backbone=resnet18", "--layers=layer1", "--image-size=64", "--p=3", "--k=2"]
    use += ["--steps=5", "--weights", str(out)]
    ran = run_cli("train", *folders, "--out", tmp_path / "b", *use)
    assert ran.code == 0, ran.err
    assert read_manifest(tmp_path / "b").backbone.source == "file"


@pytest.mark.parametrize(
    ("arguments", "code", "kind", "said"),
    [
        (["--out=own.pth"], 2, "invalid_config", "name a .safetensors file"),
        (["--objective=labels"], 2, "invalid_config", "objective: "),
        (["--backbone=resnet99"], 2, "invalid_config", "'resnet99' is not a torchvision"),
        (["--batch-size=8"], 3, "not_enough_images", "at least 16 radiographs, but there are 6"),
        (["--images=nowhere"], 3, "invalid_data", "no folder or CSV file nowhere"),
    ],
)
def test_what_pretrain_refuses(
    phantoms: Path, tmp_path: Path, arguments: list[str], code: int, kind: str, said: str
) -> None:
    base = ("--images", phantoms / "abnormal", "--out", tmp_path / "own.safetensors")
    ran = run_cli("pretrain", *base, *TINY, *arguments)
    assert said in one_line_error(ran, code, kind)
    assert not any(tmp_path.iterdir())
