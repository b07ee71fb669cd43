"""``wscxr predict``: images in, a table, JSON and map files out."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from wscxr.bundle.store import Bundle
from wscxr.errors import ConfigError, ImageError
from wscxr.files import write_file
from wscxr.imaging import DicomRules, LateralRule, read_radiograph
from wscxr.result_files import ResultFiles
from wscxr.results.png import MapStyle, map_png

_MARK = "(!)"


def map_style(name: str) -> MapStyle:
    """Parse a map style.

    Raises
    ------
    ConfigError
        There is no such style.
    """
    try:
        return MapStyle(name)
    except ValueError:
        raise ConfigError(f"style {name!r} is none of {', '.join(MapStyle)}") from None


def lateral_rule(name: str) -> LateralRule:
    """Parse what is done with lateral views.

    Raises
    ------
    ConfigError
        There is no such rule.
    """
    try:
        return LateralRule(name)
    except ValueError:
        raise ConfigError(f"lateral {name!r} is none of {', '.join(LateralRule)}") from None


class PredictionTable:
    """Scores images one by one and keeps what was found.

    Parameters
    ----------
    bundle
        What scores them.
    images
        All image files there will be; their names decide the names of the maps.
    style
        How maps are drawn.
    maps
        Folder for the maps; None for none.
    rules
        Which DICOM objects are scored.
    results
        Writes the DICOM results of one; None for none.
    """

    def __init__(
        self,
        bundle: Bundle,
        images: Sequence[Path],
        style: MapStyle,
        maps: Path | None,
        rules: DicomRules,
        results: ResultFiles | None,
    ) -> None:
        self.bundle = bundle
        self._style = style
        self._maps = maps
        self._rules = rules
        self._results = results
        self._unique = len({path.stem for path in images}) == len(images)
        self._rows: list[dict[str, object]] = []
        self._marked: set[object] = set()

    @property
    def failed(self) -> int:
        """How many images could not be scored."""
        return sum("error" in row for row in self._rows)

    def add(self, image: Path) -> None:
        """Score one image file and write its map."""
        row: dict[str, object] = {"image": str(image)}
        self._rows.append(row)
        try:
            radiograph = read_radiograph(image.read_bytes(), rules=self._rules)
        except ImageError as error:
            row |= {"error": str(error), "code": error.code}
            return
        except OSError as error:
            row |= {"error": str(error.strerror), "code": "unreadable_file"}
            return
        [prediction] = self.bundle.predict([radiograph])
        row |= {
            "score": prediction.score,
            "p_value": prediction.p_value,
            "threshold": prediction.threshold,
            "decision": prediction.decision.value,
            "ood_score": prediction.ood_score,
        }
        if prediction.out_of_distribution:
            self._marked.add(row["image"])
        if warnings := [*prediction.warnings, *radiograph.warnings]:
            row["warnings"] = warnings
        # Images of one name in several folders must not overwrite each other's files.
        name = image.stem if self._unique else f"{len(self._rows):04d}-{image.stem}"
        if self._results is not None and radiograph.header is not None:
            row["dicom"] = [str(path) for path in self._results.write(name, radiograph, prediction)]
        if self._maps is not None:
            target = self._maps / f"{name}.{self._style}.png"
            png = map_png(
                radiograph,
                prediction.anomaly_map,
                self._style,
                self.bundle.manifest.colour_scale,
            )
            write_file(target, png)
            row["map"] = str(target)

    def show(self, console: Console) -> None:
        """Print one row for each image."""
        table = Table("image", "score", "p-value", "decision", "OOD score")
        if self._marked:
            table.caption = f"{_MARK} Unlike the training images: the score means little."
        for row in self._rows:
            if "error" in row:
                table.add_row(str(row["image"]), "-", "-", f"{row['error']} ({row['code']})", "-")
            else:
                table.add_row(
                    str(row["image"]),
                    f"{row['score']:.4f}",
                    f"{row['p_value']:.4f}",
                    str(row["decision"]),
                    f"{row['ood_score']:.2f}{' ' + _MARK if row['image'] in self._marked else ''}",
                )
        console.print(table)

    def write_json(self, file: Path) -> None:
        """Write what was found as a JSON array, in the order of the images."""
        write_file(file, json.dumps(self._rows, indent=1).encode())
