"""``wscxr predict --dicom``: DICOM results as files."""

from collections.abc import Sequence
from pathlib import Path

from wscxr.bundle.store import Bundle, Prediction
from wscxr.errors import ConfigError
from wscxr.files import write_file
from wscxr.imaging import Radiograph


class ResultFiles:
    """Writes the DICOM results of scored radiographs.

    Parameters
    ----------
    bundle
        What scores them.
    path
        Its folder, ``<name>/<version>``.
    folder
        Where the files go.
    kinds
        Values of `wscxr.results.dicom.ResultKind`.

    Raises
    ------
    ConfigError
        There is no such kind, or the extra that is needed is not installed.
    """

    def __init__(self, bundle: Bundle, path: Path, folder: Path, kinds: Sequence[str]) -> None:
        try:
            from wscxr.results.dicom import Algorithm, ResultKind
        except ModuleNotFoundError as error:
            raise ConfigError("DICOM results need the extra: pip install 'wscxr[dicom]'") from error
        try:
            self._kinds = [ResultKind(kind) for kind in kinds]
        except ValueError as error:
            raise ConfigError(f"{error}: take {', '.join(ResultKind)}") from None
        manifest = bundle.manifest
        self._algorithm = Algorithm(path.parent.name, path.name, manifest.sha256)
        self._scale = manifest.colour_scale
        self._folder = folder

    def write(self, name: str, radiograph: Radiograph, prediction: Prediction) -> list[Path]:
        """Write ``<name>.<kind>.dcm`` for each kind.

        Parameters
        ----------
        name
            Of the image file, without its suffix.
        radiograph
            Read from a DICOM file.
        prediction
            What the bundle says of it.
        """
        from wscxr.results.dicom import make_results, to_bytes

        results = make_results(radiograph, prediction, self._algorithm, self._scale, self._kinds)
        files = {self._folder / f"{name}.{kind}.dcm": item for kind, item in results.items()}
        for path, result in files.items():
            write_file(path, to_bytes(result))
        return list(files)
