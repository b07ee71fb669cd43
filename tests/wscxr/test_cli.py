"""The commands as a user types them; exit codes as in the docstring of `wscxr.cli`."""

import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers import CPU, Ran, encode, folder_content, noise, one_line_error, run_cli
from training.config import TrainConfig
from training.methods.settings import Wscxr
from wscxr.bundle.bundle import Bundle
from wscxr.bundle.manifest import BundleManifest, Population
from wscxr.bundle.store import read_manifest
from wscxr.imaging import read_radiograph

SMALL = [
    "--backbone=resnet18",
    "--layers=layer1",
    "--weights=random",
    "--image-size=64",
    "--p=3",
    "--align=none",
    "--lesions=none",
]
QUICK = [
    *SMALL,
    "--method=wscxr",
    "--score-rule=max",
    "--hidden=8",
    "--steps=20",
    "--batch-size=64",
    "-k",
    "3",
]


def train(data: Path, out: Path, *more: str | Path) -> Ran:
    folders = ("--normal", data / "normal", "--abnormal", data / "abnormal")
    return run_cli("train", *folders, "--out", out, *QUICK, *more)


# --- help ---------------------------------------------------------------------------------------

COMMANDS = [
    *["train", "evaluate", "reproduce", "predict", "serve", "phantoms"],
    *["bundle show", "bundle verify"],
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    ran = run_cli(*command.split(), "--help")
    assert ran.code == 0
    assert f"Example: wscxr {command}" in " ".join(ran.out.split())


def test_the_program_says_what_it_is_not() -> None:
    ran = run_cli("--help")
    assert ran.code == 0
    assert "not a medical device" in " ".join(ran.out.split())
    for command in COMMANDS:
        assert command.split()[0] in ran.out


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["train"], ["train", "--nonsense"], ["predict"], ["bundle", "show"],
     ["train", "--out", "x", "-k", "many"], ["phantoms", "x", "--size", "8"]],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert run_cli(*arguments).code == 2


# --- train --------------------------------------------------------------------------------------


def test_train_writes_the_bundle_the_library_writes(
    phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "store" / "chest" / "1"
    ran = train(phantoms, out)
    assert ran.code == 0, ran.err
    assert folder_content(out) == folder_content(trained)
    manifest = read_manifest(out)
    assert manifest.sha256 in ran.out
    assert str(out) in ran.out
    # The random backbone is loud, and not on standard output.
    assert "WARNING: RANDOM BACKBONE" in ran.err
    assert "WARNING" not in ran.out


def test_every_setting_can_be_given_as_an_option(phantoms: Path, tmp_path: Path) -> None:
    ran = train(
        phantoms,
        tmp_path / "b",
        *[
            "--layers=layer1,layer2",
            "--no-mining",
            "--no-mixing",
            "--r=0.5",
            "--seed=7",
            "--hidden=",
        ],
        *[
            "--align=lungs",
            "--lesions=cxr",
            "--lesion-weight=2",
            "--score-rule=top-tenth",
            "--intensity=full-range",
            "--learning-rate=0.01",
        ],
        *["--min-age=1", "--max-age=5"],
        *["--weight-decay=0", "--calibration-fraction=0.25", "--false-alarm-rate=0.25"],
    )
    assert ran.code == 0, ran.err
    manifest = read_manifest(tmp_path / "b")
    assert manifest.population == Population(min_age=1, max_age=5)
    assert "| patients it is for | 1 to 5 years |" in (tmp_path / "b/MODEL_CARD.md").read_text()
    config = manifest.training.config
    expected: dict[str, object] = {
        "align": "lungs",
        "lungs": "cxr",
        "lesions": "cxr",
        "lesion_weight": 2.0,
        "layers": ["layer1", "layer2"],
        "method": {
            "name": "wscxr",
            "mining": False,
            "mixing": False,
            "r": 0.5,
            "hidden": [],
            "learning_rate": 0.01,
            "weight_decay": 0.0,
            "steps": 20,
            "batch_size": 64,
        },
        "seed": 7,
        "min_age": 1,
        "max_age": 5,
        "score_rule": "top-tenth",
        "intensity": "full-range",
        "calibration_fraction": 0.25,
        "false_alarm_rate": 0.25,
        "image_size": 64,
        "p": 3,
        "k": 3,
        "backbone": "resnet18",
        "weights": "random",
    }
    assert config == expected


def test_a_toml_file_gives_settings_and_options_win(phantoms: Path, tmp_path: Path) -> None:
    file = tmp_path / "train.toml"
    file.write_text("seed = 5\nr = 0.5\nsteps = 999\n")
    ran = train(phantoms, tmp_path / "b", "--config", file)
    assert ran.code == 0, ran.err
    config = TrainConfig.model_validate(read_manifest(tmp_path / "b").training.config)
    assert config.seed == 5
    assert isinstance(config.method, Wscxr)
    assert (config.method.r, config.method.steps) == (0.5, 20)


def write_manifest(phantoms: Path, file: Path) -> None:
    """One row per image; the last four normals and three abnormal ones are for testing."""
    rows = ["path,label,patient_id,split"]
    for kind, total, held_out in (("normal", 24, 4), ("abnormal", 6, 3)):
        for number, path in enumerate(sorted((phantoms / kind).iterdir())):
            split = "test" if number >= total - held_out else "train"
            rows.append(f"{path},{kind},p{number // 2},{split}")
    file.write_text("\n".join(rows))


def test_a_manifest_with_splits_and_patients(phantoms: Path, tmp_path: Path) -> None:
    file = tmp_path / "images.csv"
    write_manifest(phantoms, file)
    out = tmp_path / "b"
    ran = run_cli("train", "--manifest", file, "--out", out, *QUICK)
    assert ran.code == 0, ran.err
    training = read_manifest(out).training
    # 20 normals of ten patients, two of whom have the anomaly images too: of the other eight,
    # four with two images each are kept aside.
    assert (training.n_normal, training.n_calibration, training.k) == (12, 8, 3)
    ran = run_cli("evaluate", out, "--manifest", file, "--json", tmp_path / "m.json")
    assert ran.code == 0, ran.err
    found = json.loads((tmp_path / "m.json").read_text())
    assert (found["n_normal"], found["n_abnormal"]) == (4, 3)


def with_broken_file(phantoms: Path, folder: Path) -> Path:
    shutil.copytree(phantoms, folder)
    broken = folder / "normal" / "0007.png"
    broken.write_bytes(broken.read_bytes()[:-300])
    return broken


def test_an_unreadable_file_stops_and_is_named(phantoms: Path, tmp_path: Path) -> None:
    broken = with_broken_file(phantoms, tmp_path / "data")
    ran = train(tmp_path / "data", tmp_path / "store" / "b")
    line = one_line_error(ran, 3, "invalid_data")
    assert f"{broken}: " in line
    assert "corrupt_image" in line
    assert not (tmp_path / "store").exists()


def test_skip_bad_names_the_file_and_goes_on(phantoms: Path, tmp_path: Path) -> None:
    broken = with_broken_file(phantoms, tmp_path / "data")
    ran = train(tmp_path / "data", tmp_path / "b", "--skip-bad")
    assert ran.code == 0, ran.err
    [line] = [line for line in ran.err.splitlines() if line.startswith("skipped: ")]
    assert str(broken) in line
    assert "corrupt_image" in line
    training = read_manifest(tmp_path / "b").training
    assert training.n_normal + training.n_calibration == 23


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code", "said"),
    [
        (["--device", "cuda:7"], 5, "device_unavailable", "cuda:7"),
        (["--device", "gpu"], 5, "device_unavailable", "gpu"),
        (["--weights", "none.pth"], 5, "weights_unavailable", "none.pth"),
        (["-k", "7"], 3, "not_enough_images", "K = 7"),
        (["--manifest", "m.csv"], 3, "invalid_data", "either a manifest"),
        (["-k", "0"], 2, "invalid_config", "needs anomaly images"),
        (["--p", "4"], 2, "invalid_config", "odd"),
        (["--backbone", "resnet99"], 2, "invalid_config", "resnet99"),
        (["--layers", "layer9"], 2, "invalid_config", "layer9"),
        (["--score-rule", "median"], 2, "invalid_config", "score_rule"),
        (["--hidden", "8,x"], 2, "invalid_config", "hidden"),
        (["--config", "none.toml"], 2, "invalid_config", "none.toml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_train_refuses(
    phantoms: Path, tmp_path: Path, arguments: list[str], exit_code: int, code: str, said: str
) -> None:
    ran = train(phantoms, tmp_path / "store" / "b", *arguments)
    assert said in one_line_error(ran, exit_code, code)
    assert not (tmp_path / "store").exists()


def test_train_refuses_missing_folders_and_existing_bundles(
    phantoms: Path, trained: Path, tmp_path: Path
) -> None:
    assert str(tmp_path / "normal") in one_line_error(
        train(tmp_path, tmp_path / "b"), 3, "invalid_data"
    )
    assert str(trained) in one_line_error(train(phantoms, trained), 4, "bundle_exists")


# --- evaluate -----------------------------------------------------------------------------------


def test_evaluate_writes_the_documented_keys(trained: Path, unseen: Path, tmp_path: Path) -> None:
    file = tmp_path / "new" / "metrics.json"
    folders = ("--normal", unseen / "normal", "--abnormal", unseen / "abnormal")
    ran = run_cli("evaluate", trained, *folders, "--json", file)
    assert ran.code == 0, ran.err
    found = json.loads(file.read_text())
    assert set(found) == {
        "auroc", "average_precision", "accuracy", "f1", "sensitivity", "specificity",
        "threshold", "n_normal", "n_abnormal",
        "bundle", "image_level", "calibration", "out_of_distribution", "confounders",
        "localisation", "images",
    }  # fmt: skip
    assert found["auroc"] == found["image_level"]["auroc"]["value"]
    assert found["localisation"] is None
    assert len(found["images"]) == 9
    assert (found["n_normal"], found["n_abnormal"]) == (5, 4)
    for label, share in found["out_of_distribution"].items():
        flags = [image["ood_score"] > 1 for image in found["images"] if image["label"] == label]
        assert share == pytest.approx(np.mean(flags))
        assert f"OOD score > 1, {label}" in ran.out
    assert found["threshold"] == read_manifest(trained).calibration.threshold
    for key in ("auroc", "average_precision", "accuracy", "f1", "sensitivity", "specificity"):
        assert 0 <= found[key] <= 1
        assert f"{found[key]:.4f}" in ran.out
    assert "RANDOM BACKBONE" in ran.err


def test_evaluate_names_and_skips_like_train(trained: Path, phantoms: Path, tmp_path: Path) -> None:
    broken = with_broken_file(phantoms, tmp_path / "data")
    data = tmp_path / "data"
    folders = ("--normal", data / "normal", "--abnormal", data / "abnormal")
    line = one_line_error(run_cli("evaluate", trained, *folders), 3, "invalid_data")
    assert str(broken) in line
    ran = run_cli("evaluate", trained, *folders, "--skip-bad", "--json", tmp_path / "m.json")
    assert ran.code == 0
    assert str(broken) in ran.err
    assert json.loads((tmp_path / "m.json").read_text())["n_normal"] == 23


def test_evaluate_refuses_what_is_no_bundle(unseen: Path, tmp_path: Path) -> None:
    folders = ("--normal", unseen / "normal", "--abnormal", unseen / "abnormal")
    ran = run_cli("evaluate", tmp_path, *folders)
    one_line_error(ran, 4, "bundle_not_found")


# --- predict ------------------------------------------------------------------------------------


def test_predict_gives_what_the_library_gives(
    trained: Path, trained_bundle: Bundle, unseen: Path, tmp_path: Path
) -> None:
    images = sorted((unseen / "abnormal").iterdir())
    file = tmp_path / "p.json"
    ran = run_cli("predict", trained, *images, "--json", file)
    assert ran.code == 0, ran.err
    rows = json.loads(file.read_text())
    assert [row["image"] for row in rows] == [str(image) for image in images]
    for row, image in zip(rows, images, strict=True):
        [expected] = trained_bundle.predict([read_radiograph(image.read_bytes())])
        assert row == {
            "image": str(image),
            "score": pytest.approx(expected.score, abs=1e-4),
            "p_value": expected.p_value,
            "threshold": expected.threshold,
            "decision": expected.decision.value,
            "ood_score": pytest.approx(expected.ood_score, abs=1e-4),
            "warnings": list(expected.warnings),
        }
        assert f"{row['score']:.4f}" in ran.out
    assert "RANDOM BACKBONE" in ran.err


def test_predict_marks_what_is_unlike_the_training_images(
    trained: Path, unseen: Path, tmp_path: Path
) -> None:
    strange, known = tmp_path / "strange.png", unseen / "normal" / "0000.png"
    strange.write_bytes(encode(noise(64, 64)))
    file = tmp_path / "p.json"
    ran = run_cli("predict", trained, strange, known, "--json", file)
    assert ran.code == 0, ran.err
    marked, plain = json.loads(file.read_text())
    assert marked["ood_score"] > 1 > plain["ood_score"] > 0
    warning = marked["warnings"][-1]
    assert warning.startswith("OUT OF DISTRIBUTION")
    assert f"{marked['ood_score']:.2f}" in warning
    assert plain["warnings"] == marked["warnings"][:-1] == read_manifest(trained).warnings
    assert f"{marked['ood_score']:.2f} (!)" in ran.out
    assert f"{plain['ood_score']:.2f} (!)" not in ran.out
    assert "the score means little" in " ".join(ran.out.split())
    assert "(!)" not in run_cli("predict", trained, known).out


@pytest.mark.parametrize("style", ["overlay", "outlined", "heat", "raw16"])
def test_predict_writes_maps(
    trained: Path, trained_bundle: Bundle, unseen: Path, tmp_path: Path, style: str
) -> None:
    images = sorted((unseen / "normal").iterdir())[:2]
    maps = tmp_path / "new" / "maps"
    out = ("--maps", maps, "--style", style, "--json", tmp_path / "p.json")
    assert run_cli("predict", trained, *images, *out).code == 0
    names = sorted(path.name for path in maps.iterdir())
    assert names == [f"{image.stem}.{style}.png" for image in images]
    rows = json.loads((tmp_path / "p.json").read_text())
    assert [row["map"] for row in rows] == [str(maps / name) for name in names]
    with Image.open(maps / names[0]) as picture:
        assert picture.size == ((16, 16) if style == "raw16" else (64, 64))
        if style == "raw16":
            slope = float(picture.text["score_slope"])  # type: ignore[attr-defined]
            offset = float(picture.text["score_offset"])  # type: ignore[attr-defined]
            [expected] = trained_bundle.predict([read_radiograph(images[0].read_bytes())])
            recovered = offset + slope * np.asarray(picture).astype(float)
            np.testing.assert_allclose(recovered, expected.anomaly_map, atol=1e-3)


def test_maps_of_images_with_one_name_do_not_overwrite_each_other(
    trained: Path, unseen: Path, tmp_path: Path
) -> None:
    images = (unseen / "normal" / "0000.png", unseen / "abnormal" / "0000.png")
    file = tmp_path / "p.json"
    assert run_cli("predict", trained, *images, "--maps", tmp_path / "m", "--json", file).code == 0
    written = [Path(row["map"]) for row in json.loads(file.read_text())]
    assert len({path.read_bytes() for path in written}) == 2


def test_a_bad_image_is_reported_and_the_others_are_scored(
    trained: Path, unseen: Path, tmp_path: Path
) -> None:
    good = unseen / "normal" / "0000.png"
    text = tmp_path / "text.png"
    text.write_text("text")
    blank = tmp_path / "blank.png"
    blank.write_bytes(encode(np.zeros((40, 40), np.uint8)))
    images = [text, good, tmp_path / "none.png", blank]
    file = tmp_path / "p.json"
    ran = run_cli("predict", trained, *images, "--json", file, "--maps", tmp_path / "maps")
    assert "3 of 4 images could not be scored" in one_line_error(ran, 3, "invalid_data")
    rows = json.loads(file.read_text())
    assert [row.get("code") for row in rows] == [
        "unsupported_format", None, "unreadable_file", "blank_image"
    ]  # fmt: skip
    assert [("score" in row, "error" in row) for row in rows] == [
        (False, True), (True, False), (False, True), (False, True)
    ]  # fmt: skip
    assert len(list((tmp_path / "maps").iterdir())) == 1


def test_a_folder_stands_for_the_images_in_it(trained: Path, unseen: Path, tmp_path: Path) -> None:
    files = sorted(unseen.rglob("*.png"))
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    assert run_cli("predict", trained, unseen, "--json", one).code == 0
    assert run_cli("predict", trained, *files, "--json", other).code == 0
    assert json.loads(one.read_text()) == json.loads(other.read_text())
    empty = tmp_path / "empty"
    empty.mkdir()
    one_line_error(run_cli("predict", trained, empty), 3, "invalid_data")


def test_what_predict_refuses(trained: Path, unseen: Path, tmp_path: Path) -> None:
    image = unseen / "normal" / "0000.png"
    ran = run_cli("predict", trained, image, "--style", "fancy")
    assert "overlay, outlined, heat, raw16" in one_line_error(ran, 2, "invalid_config")
    one_line_error(run_cli("predict", tmp_path, image), 4, "bundle_not_found")
    one_line_error(
        run_cli("predict", trained, image, "--device", "cuda:9"), 5, "device_unavailable"
    )


# --- bundle -------------------------------------------------------------------------------------


def test_show_prints_the_manifest_as_json(trained: Path) -> None:
    ran = run_cli("bundle", "show", trained)
    assert ran.code == 0
    assert BundleManifest.model_validate_json(ran.out) == read_manifest(trained)
    assert "RANDOM BACKBONE" in ran.err


def test_verify_says_that_it_is_whole(trained: Path) -> None:
    ran = run_cli("bundle", "verify", trained, "--device", "cpu")
    assert ran.code == 0
    assert f"verified on {CPU}" in ran.out
    assert read_manifest(trained).sha256 in ran.out


def test_verify_finds_damage_that_show_does_not_look_for(fresh_bundle: Path) -> None:
    file = fresh_bundle / "discriminator.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert run_cli("bundle", "show", fresh_bundle).code == 0
    line = one_line_error(run_cli("bundle", "verify", fresh_bundle), 4, "bundle_damaged")
    assert "discriminator.safetensors" in line


def test_show_refuses_a_damaged_manifest(fresh_bundle: Path, tmp_path: Path) -> None:
    file = fresh_bundle / "bundle.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 1'))
    one_line_error(run_cli("bundle", "show", fresh_bundle), 4, "bundle_damaged")
    file.write_text('{"schema_version": 99}')
    one_line_error(run_cli("bundle", "show", fresh_bundle), 4, "unknown_schema")
    one_line_error(run_cli("bundle", "show", tmp_path), 4, "bundle_not_found")


# --- phantoms and serve ---------------------------------------------------------------------------


def test_phantoms_are_those_of_the_library(tmp_path: Path, unseen: Path) -> None:
    options = ["--normal", "5", "--abnormal", "4", "--size", "64", "--seed", "1"]
    ran = run_cli("phantoms", tmp_path / "p", *options)
    assert ran.code == 0
    assert folder_content(tmp_path / "p") == folder_content(unseen)
    assert "5 normal and 4 abnormal" in ran.out


def test_serve_refuses_impossible_settings(tmp_path: Path) -> None:
    ran = run_cli("serve", "--model-store", tmp_path, "--port", "99999999")
    assert "port" in one_line_error(ran, 2, "invalid_config")


# --- an unwritable place, and Ctrl-C --------------------------------------------------------------


def test_an_output_that_cannot_be_written_is_an_error_and_not_a_traceback(
    trained: Path, unseen: Path, tmp_path: Path
) -> None:
    image = unseen / "normal" / "0000.png"
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(encode(noise()))
    for option, place in (("--json", tmp_path), ("--maps", in_the_way)):
        ran = run_cli("predict", trained, image, option, place)
        assert ran.code not in (0, 130)
        assert "error: " in ran.err
        assert "Traceback" not in ran.err


def test_ctrl_c_in_the_middle_of_training_leaves_nothing(phantoms: Path, tmp_path: Path) -> None:
    """A real process on a terminal, interrupted while it trains: exit code 130, no bundle."""
    store = tmp_path / "store"
    folders = ["--normal", str(phantoms / "normal"), "--abnormal", str(phantoms / "abnormal")]
    endless = [*QUICK, "--steps=100000000", "--batch-size=4"]
    ours, theirs = pty.openpty()
    # Whoever starts the tests in the background of a script has SIGINT ignored; so would a child.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from wscxr.cli import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", start, "train", *folders, "--out", str(store / "1"), *endless],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    os.close(theirs)
    # A bound against hanging, not a measure of time.
    watchdog = threading.Timer(300, process.kill)
    watchdog.start()
    shown = b""
    try:
        while b"training the discriminator" not in shown:
            shown += os.read(ours, 65536)
        process.send_signal(signal.SIGINT)
        with io.FileIO(ours, "rb", closefd=False) as rest:
            while True:
                try:
                    chunk = rest.read(65536)
                except OSError:  # the terminal's other end is closed
                    break
                if not chunk:
                    break
                shown += chunk
        out, _ = process.communicate(timeout=60)
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 130, shown.decode(errors="replace")
    assert b"Traceback" not in shown
    assert out == b""
    assert not store.exists() or not list(store.iterdir())
