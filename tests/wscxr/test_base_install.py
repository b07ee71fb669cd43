"""The base installation, without any extra, scores PNG and JPEG, and imports the service."""

import subprocess
import sys
import tomllib
from pathlib import Path

from PIL import Image

from tests.helpers import radiograph

ROOT = Path(__file__).parents[2]

_PROGRAM = """
import sys

sys.modules.update(dict.fromkeys(MISSING))
import wscxr
assert wscxr.load(device="cpu", engine="torch").predict(sys.argv[1]).score is not None
import service.app
"""

MISSING = {
    *{"pydicom", "pylibjpeg", "openjpeg", "imagecodecs", "jpeg_ls", "highdicom", "contourpy"},
    *{"scipy", "sklearn", "matplotlib", "jinja2", "openvino"},
    *{"sqlalchemy", "alembic", "psycopg", "pyarrow", "ray"},
}
"""Modules that only extras bring."""


def test_it_scores_and_serves_without_any_extra(tmp_path: Path) -> None:
    file = tmp_path / "picture.png"
    Image.fromarray(radiograph().pixels).save(file)
    ran = subprocess.run(
        [sys.executable, "-c", f"MISSING = {MISSING!r}\n{_PROGRAM}", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_what_is_missing_there_is_in_no_base_requirement() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())
    base = " ".join(document["project"]["dependencies"])
    assert not [name for name in MISSING if name in base]
