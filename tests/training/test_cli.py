"""More of what a user types: other methods, annotations, reports, and the paper's tables."""

import json
from pathlib import Path

import pytest
import torch

from tests.helpers import CPU, one_line_error, run_cli
from tests.wscxr.test_cli import QUICK, SMALL
from wscxr.anatomy import LungNetwork
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.store import read_manifest
from wscxr.model.heads.memory_bank import MemoryBank
from wscxr.model.unet import load_weights

# --- train --method -----------------------------------------------------------------------------


def test_normal_images_alone_are_enough_for_patchcore(phantoms: Path, tmp_path: Path) -> None:
    arguments = ["--method=patchcore", "--set", "coreset_ratio=0.05", *SMALL]
    ran = run_cli("train", "--normal", phantoms / "normal", "--out", tmp_path / "b", *arguments)
    assert ran.code == 0, ran.err
    training = read_manifest(tmp_path / "b").training
    assert (training.method, training.k) == ("patchcore", 0)
    assert training.config["method"] == {"name": "patchcore", "coreset_ratio": 0.05}
    assert isinstance(Bundle.load(tmp_path / "b", CPU).detector.head, MemoryBank)
    card = (tmp_path / "b" / "MODEL_CARD.md").read_text()
    assert "PatchCore" in card
    assert "WSCXR" not in card


def test_abnormal_images_that_are_there_are_left_alone(phantoms: Path, tmp_path: Path) -> None:
    """The same folders serve every method."""
    folders = ("--normal", phantoms / "normal", "--abnormal", phantoms / "abnormal")
    for name, given in (("with", folders), ("without", folders[:2])):
        ran = run_cli("train", *given, "--method=patchcore", "--out", tmp_path / name, *SMALL)
        assert ran.code == 0, ran.err
    hashes = {read_manifest(tmp_path / name).sha256 for name in ("with", "without")}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--method=svm"],
            "'svm' is none of positional, wscxr, wscxr-authors, patchcore, simplenet",
        ),
        (["--method=patchcore", "-k", "3"], "patchcore uses no anomaly images"),
        (["--method=patchcore", "--steps=3"], "patchcore has no setting steps"),
        (["--set", "colour=blue"], "positional has no setting colour"),
        (["--set", "r"], "'r' is not NAME=VALUE"),
        (["--set", "r=much"], "r: "),
    ],
    ids=" ".join,
)
def test_settings_that_fit_no_method(
    phantoms: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ran = run_cli("train", "--normal", phantoms / "normal", "--out", tmp_path / "b", *arguments)
    assert said in one_line_error(ran, 2, "invalid_config")


def test_wscxr_needs_abnormal_images(phantoms: Path, tmp_path: Path) -> None:
    ran = run_cli("train", "--normal", phantoms / "normal", "--out", tmp_path / "b", *QUICK)
    assert "an abnormal folder" in one_line_error(ran, 3, "invalid_data")


# --- evaluate with annotations and a report -----------------------------------------------------


def test_lesions_are_located_where_masks_are_given(
    trained: Path, unseen: Path, tmp_path: Path
) -> None:
    folders = ("--normal", unseen / "normal", "--abnormal", unseen / "abnormal")
    files = ("--json", tmp_path / "m.json", "--report", tmp_path / "report.html")
    ran = run_cli("evaluate", trained, *folders, "--masks", unseen / "masks", *files)
    assert ran.code == 0, ran.err
    located = json.loads((tmp_path / "m.json").read_text())["localisation"]
    assert located["n_images"] == 4
    assert f"{located['model']['pixel_auroc']:.3f}" in ran.out
    assert "location prior" in ran.out
    report = (tmp_path / "report.html").read_text()
    assert "<svg" in report
    assert "data:image/" in report


def test_a_report_without_patients_images(trained: Path, unseen: Path, tmp_path: Path) -> None:
    folders = ("--normal", unseen / "normal", "--abnormal", unseen / "abnormal")
    report = tmp_path / "report.html"
    ran = run_cli("evaluate", trained, *folders, "--report", report, "--no-gallery")
    assert ran.code == 0, ran.err
    assert "data:image/" not in report.read_text()


def test_boxes_or_masks_but_not_both(trained: Path, unseen: Path) -> None:
    folders = ("--normal", unseen / "normal", "--abnormal", unseen / "abnormal")
    ran = run_cli("evaluate", trained, *folders, "--masks", unseen, "--boxes", unseen / "b.csv")
    assert "either boxes or masks" in one_line_error(ran, 2, "invalid_config")


# --- reproduce ----------------------------------------------------------------------------------

TINY = ["image_size = 64", "p = 3", "k = 3", "false_alarm_rate = 0.2"]


def test_a_table_is_made_and_gone_on_with(zhanglab: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("\n".join(TINY))
    arguments = ["--backbone=resnet18", "--layers=layer1", "--weights=random"]
    arguments += ["--methods=patchcore", "--config", str(tmp_path / "small.toml")]
    where = ("--data", zhanglab, "--out", tmp_path / "t")
    for draws in (1, 2):
        ran = run_cli("reproduce", "table1", *where, *arguments, f"--draws={draws}")
        assert ran.code == 0, ran.err
        assert len(list((tmp_path / "t" / "runs").iterdir())) == draws
    text = (tmp_path / "t" / "table1.md").read_text()
    assert ran.out.strip() == text.strip()
    assert text.count("| PatchCore | - | 2 |") == 2
    assert "WSCXR |" not in text
    cells = json.loads((tmp_path / "t" / "table1.json").read_text())["cells"]
    assert [(cell["row"], cell["protocol"]) for cell in cells] == [
        ("patchcore", "honest"),
        ("patchcore", "paper"),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["table3"], "'table3' is none of table1, table2"),
        (["table1", "--budget=huge"], "'huge' is none of cpu, full"),
        (["table1", "--methods=wscxr,svm"], "svm is not a row of the table"),
    ],
    ids=" ".join,
)
def test_what_reproduce_refuses(
    zhanglab: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    ran = run_cli("reproduce", *arguments, "--data", zhanglab, "--out", tmp_path / "t")
    assert said in one_line_error(ran, 2, "invalid_config")
    assert not (tmp_path / "t").exists()


# --- pretrain -----------------------------------------------------------------------------------

PRETRAIN = ["--backbone=resnet18", "--layer=layer1", "--batch-size=4", "--epochs=1", "--device=cpu"]


def test_a_backbone_of_ones_own_is_trained_and_used(phantoms: Path, tmp_path: Path) -> None:
    """From unlabelled images to a bundle, without a download."""
    out = tmp_path / "own.safetensors"
    table = tmp_path / "list.csv"
    names = sorted((phantoms / "normal").iterdir())[:4]
    table.write_text("\n".join(["path", *map(str, names)]))
    places = ("--images", phantoms / "abnormal", "--images", table)
    ran = run_cli("pretrain", "backbone", *places, "--out", out, *PRETRAIN)
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
    ran = run_cli("pretrain", *base, *PRETRAIN, *arguments)
    assert said in one_line_error(ran, code, kind)
    assert not any(tmp_path.iterdir())


def test_pretrain_alone_still_means_the_backbone(phantoms: Path, tmp_path: Path) -> None:
    out = tmp_path / "own.safetensors"
    ran = run_cli("pretrain", "--images", phantoms / "normal", "--out", out, *PRETRAIN)
    assert ran.code == 0, ran.err
    assert out.is_file()
    help_ = run_cli("pretrain", "--help")
    assert help_.code == 0
    assert "backbone" in help_.out
    assert "lungs" in help_.out


def test_a_lung_network_of_ones_own_is_trained(phantoms: Path, tmp_path: Path) -> None:
    images = sorted((phantoms / "normal").iterdir())
    masks = tmp_path / "masks.csv"
    # Any picture can be a mask: this is about files and counts.
    rows = [f"{image},{image},p{n}" for n, image in enumerate(images)]
    masks.write_text("\n".join(["image,mask,patient_id", *rows]))
    out = tmp_path / "lungs.safetensors"
    settings = ["--steps=3", "--batch-size=4", "--device=cpu"]
    ran = run_cli("pretrain", "lungs", "--masks", masks, "--out", out, *settings)
    assert ran.code == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.startswith(f"{out}: ")
    assert first.endswith(" radiographs with masks, 0 without")
    assert second.startswith("Dice ")
    own = load_weights(LungNetwork(), out)

    folders = ("--normal", phantoms / "normal", "--abnormal", phantoms / "abnormal")
    use = ["--weights=random", "--backbone=resnet18", "--layers=layer1", "--image-size=64", "--k=2"]
    use += ["--p=3", "--steps=5", "--align=lungs", "--lungs", str(out)]
    ran = run_cli("train", *folders, "--out", tmp_path / "b", *use)
    assert ran.code == 0, ran.err
    assert read_manifest(tmp_path / "b").training.config["lungs"] == "file"
    used = load_weights(LungNetwork(), tmp_path / "b" / "lungs.safetensors")
    assert torch.equal(used.unet.head.weight, own.unet.head.weight)
