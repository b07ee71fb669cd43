"""``wscxr predict``: many images in; a table, JSON, and a map and DICOM results of each out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from wscxr.bundle.bundle import Bundle
from wscxr.errors import ConfigError, ImageError
from wscxr.files import write_file
from wscxr.imaging import DicomRules, read_radiograph
from wscxr.prediction import Prediction
from wscxr.results.dicom.identity import ResultKind
from wscxr.results.png import MapStyle

_MARK = "(!)"


class PredictionTable:
    """Scores image files one by one, writes what is asked for, and keeps a row for each.

    Parameters
    ----------
    bundle
        What scores them.
    images
        All image files there will be; their names decide the names of what is written.
    rules
        Which DICOM objects are scored.
    maps
        Folder for the maps; None for none.
    style
        How maps are drawn.
    dicom
        Folder for DICOM results; None for none.
    kinds
        Which DICOM results are made.

    Raises
    ------
    ConfigError
        DICOM results are asked for, but the extra that they need is not installed.
    """

    def __init__(
        self,
        bundle: Bundle,
        images: Sequence[Path],
        rules: DicomRules,
        *,
        maps: Path | None,
        style: MapStyle,
        dicom: Path | None,
        kinds: Sequence[ResultKind],
    ) -> None:
        if dicom is not None:
            try:
                import wscxr.results.dicom.make  # noqa: F401 - better to fail before any work
            except ModuleNotFoundError as error:
                raise ConfigError(
                    "DICOM results need the extra: pip install 'wscxr[dicom]'"
                ) from error
        self._bundle = bundle
        self._rules = rules
        self._maps = maps
        self._style = style
        self._dicom = dicom
        self._kinds = kinds
        self._unique = len({path.stem for path in images}) == len(images)
        self._rows: list[dict[str, Any]] = []
        self._marked: set[str] = set()

    @property
    def failed(self) -> int:
        """How many images could not be scored."""
        return sum("error" in row for row in self._rows)

    def add(self, image: Path) -> None:
        """Score one image file and write its results."""
        row: dict[str, Any] = {"image": str(image)}
        self._rows.append(row)
        try:
            radiograph = read_radiograph(
                image.read_bytes(), rules=self._rules, side=self._bundle.view_side
            )
        except ImageError as error:
            row |= {"error": str(error), "code": error.code}
            return
        except OSError as error:
            row |= {"error": str(error.strerror), "code": "unreadable_file"}
            return
        prediction = self._bundle.predict(radiograph)
        row |= {
            "score": prediction.score,
            "p_value": prediction.p_value,
            "threshold": prediction.threshold,
            "decision": prediction.decision.value,
            "ood_score": prediction.ood_score,
        }
        if prediction.lung_fields is not None:
            row["lung_fields"] = prediction.lung_fields.model_dump()
        if prediction.warnings:
            row["warnings"] = list(prediction.warnings)
        if prediction.out_of_distribution:
            self._marked.add(str(image))
        # Images of one name in several folders must not overwrite each other's files.
        name = image.stem if self._unique else f"{len(self._rows):04d}-{image.stem}"
        if self._maps is not None:
            file = self._maps / f"{name}.{self._style}.png"
            write_file(file, prediction.png(self._style))
            row["map"] = str(file)
        if self._dicom is not None and radiograph.header is not None:
            row["dicom"] = _write_dicom(prediction, self._dicom / name, self._kinds)

    def show(self, console: Console) -> None:
        """Print one row for each image."""
        table = Table("image", "score", "p-value", "decision", "OOD score")
        if self._marked:
            table.caption = f"{_MARK} Unlike the training images: the score means little."
        for row in self._rows:
            if "error" in row:
                table.add_row(row["image"], "-", "-", f"{row['error']} ({row['code']})", "-")
                continue
            ood = "none" if row["ood_score"] is None else f"{row['ood_score']:.2f}"
            table.add_row(
                row["image"],
                f"{row['score']:.4f}",
                f"{row['p_value']:.4f}",
                row["decision"],
                f"{ood} {_MARK}" if row["image"] in self._marked else ood,
            )
        console.print(table)

    def write_json(self, file: Path) -> None:
        """Write the rows as a JSON array, in the order of the images."""
        write_file(file, json.dumps(self._rows, indent=1).encode())


def _write_dicom(prediction: Prediction, stem: Path, kinds: Sequence[ResultKind]) -> list[str]:
    from wscxr.results.dicom.make import make_results, to_bytes

    results = make_results(prediction, kinds)
    files = {stem.parent / f"{stem.name}.{kind}.dcm": item for kind, item in results.items()}
    for path, result in files.items():
        write_file(path, to_bytes(result))
    return [str(path) for path in files]
