"""Scoring in the process of the service, in place of a request to it."""

from service.errors import ServiceError, Unavailable
from service.http.multipart import RELATED
from service.pacs.errors import AnalyserFault, AnalyserUnavailable, Refused
from service.pacs.related import dicom_files
from service.scoring.drawing import ResultName, dicom_drawer
from service.scoring.pipeline import Pipeline
from wscxr.errors import ImageError
from wscxr.imaging import Assumed


class PipelineAnalyser:
    """An analyser that is one of the loaded models.

    Parameters
    ----------
    pipeline
        The way through that model.
    names
        Which result objects are made.
    """

    def __init__(self, pipeline: Pipeline, names: tuple[ResultName, ...]) -> None:
        self._pipeline = pipeline
        self._names = names

    async def analyse(self, data: bytes) -> list[bytes]:
        """See `service.pacs.analyser.Analyser.analyse`."""
        draw = dicom_drawer(self._names)
        try:
            with self._pipeline.batcher.admit(1) as tickets:
                outcome = await self._pipeline.run(tickets[0], data, draw, Assumed())
        except ImageError as error:
            raise Refused(error.code) from error
        except Unavailable as error:
            raise AnalyserUnavailable from error
        except ServiceError as error:
            raise AnalyserFault from error
        if outcome.drawn is None:
            raise AnalyserFault
        return dicom_files(RELATED if len(self._names) > 1 else "application/dicom", outcome.drawn)

    async def probe(self) -> None:
        """See `service.pacs.analyser.Analyser.probe`; a model that is loaded is there."""
