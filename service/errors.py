"""Errors of the service itself, as one tree below `wscxr.errors.WscxrError`.

::

    WscxrError
    └── ServiceError
        ├── MalformedBody        malformed_body       400
        ├── Unauthorized         unauthorized         401
        ├── NotFound             not_found            404
        │   ├── ModelNotFound    model_not_found      404
        │   ├── MapNotFound      map_not_found        404
        │   ├── PacsNotConfigured  pacs_not_configured  404
        │   └── JobNotFound      job_not_found        404
        ├── MethodNotAllowed     method_not_allowed   405
        ├── UploadTooSlow        upload_too_slow      408
        ├── BodyTooLarge         body_too_large       413
        ├── InvalidRequest       invalid_request      422
        │   ├── MissingFile      missing_file         422
        │   ├── TooManyFiles     too_many_files       422
        │   │   └── BatchTooLarge  too_many_files     413
        │   ├── ModelRequired    model_required       422
        │   └── MapTooLarge      map_too_large        422
        ├── ClientGone           client_gone          499
        ├── InternalError        internal_error       500
        │   └── InferenceFailed  inference_failed     500
        ├── Unavailable          (never raised itself)
        │   ├── NotReady         not_ready            503
        │   ├── QueueFull        queue_full           503
        │   └── ShuttingDown     shutting_down        503
        └── DeadlineExceeded     deadline_exceeded    504

Codes are part of the public interface. Messages travel to the client as ``detail``; they hold
nothing of an image, a file name or the text of another exception.
"""

from collections.abc import Mapping
from typing import ClassVar

from wscxr.errors import WscxrError


class ServiceError(WscxrError):
    """A request that does not end in a result.

    Attributes
    ----------
    status
        HTTP status of the answer.
    detail
        What a person is told when the error is raised without a message.
    headers
        Headers of the answer.
    """

    status: ClassVar[int]
    detail: ClassVar[str]
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)


class MalformedBody(ServiceError):
    """The body is not what its content type says."""

    code = "malformed_body"
    status = 400
    detail = "the body could not be read as multipart/form-data"


class Unauthorized(ServiceError):
    """An API key is needed, and the one given is not it."""

    code = "unauthorized"
    status = 401
    detail = "send the API key in the X-API-Key header, or as a Bearer token"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="wscxr"'}


class NotFound(ServiceError):
    """There is nothing at this path."""

    code = "not_found"
    status = 404
    detail = "there is nothing at this path; see /docs"


class ModelNotFound(NotFound):
    """No model of that name is loaded."""

    code = "model_not_found"
    detail = "no model of that name is loaded; see /v1/models"


class MapNotFound(NotFound):
    """The anomaly map was never made, has expired, or gave way to newer ones."""

    code = "map_not_found"
    detail = "there is no such anomaly map, or it has expired"


class PacsNotConfigured(NotFound):
    """The service was started without the address of a PACS."""

    code = "pacs_not_configured"
    detail = "this service knows no PACS; see WSCXR_PACS_URL"


class JobNotFound(NotFound):
    """The job was never started, or ended too long ago."""

    code = "job_not_found"
    detail = "there is no such job, or it ended too long ago"


class MethodNotAllowed(ServiceError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"
    status = 405
    detail = "this path does not take that method; see the Allow header"


class UploadTooSlow(ServiceError):
    """The body did not arrive in time."""

    code = "upload_too_slow"
    status = 408
    detail = "the request body did not arrive in time"


class BodyTooLarge(ServiceError):
    """The request has more bytes than the limit."""

    code = "body_too_large"
    status = 413
    detail = "the request body is larger than the limit"


class InvalidRequest(ServiceError):
    """A parameter is missing or out of range."""

    code = "invalid_request"
    status = 422
    detail = "a parameter is missing or out of range"


class MissingFile(InvalidRequest):
    """The multipart field that carries the radiograph is not there, or is not a file."""

    code = "missing_file"
    detail = "send the radiograph as a multipart/form-data file in the field 'file'"


class TooManyFiles(InvalidRequest):
    """More than one file where one is scored."""

    code = "too_many_files"
    detail = "send one file; /v1/predict/batch takes several"


class BatchTooLarge(TooManyFiles):
    """More files in one batch request than the limit."""

    status = 413
    detail = "there are more files than one request may carry"


class ModelRequired(InvalidRequest):
    """Several models are loaded and the request names none."""

    code = "model_required"
    detail = "several models are loaded: name one with ?model=NAME; see /v1/models"


class MapTooLarge(InvalidRequest):
    """The anomaly map is larger than all the memory set aside for maps behind a URL."""

    code = "map_too_large"
    detail = "the map is too large to be kept; use map=base64 or /v1/predict/map"


class ClientGone(ServiceError):
    """The client closed the connection; nobody reads this answer, it is for log and metrics."""

    code = "client_gone"
    status = 499
    detail = "the client closed the connection"


class InternalError(ServiceError):
    """The service failed in a way nobody foresaw."""

    code = "internal_error"
    status = 500
    detail = "the service failed; its log has the reason under this request id"


class InferenceFailed(InternalError):
    """The detector failed on this image, or gave a score that is not finite."""

    code = "inference_failed"
    detail = "this image could not be scored"


class Unavailable(ServiceError):
    """Not now; the same request may work a moment later."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class NotReady(Unavailable):
    """The models are still being loaded and checked."""

    code = "not_ready"
    detail = "the models are still being loaded"


class QueueFull(Unavailable):
    """As many images, or bytes of them, as allowed are under way already."""

    code = "queue_full"
    detail = "too many images are waiting; try again later"


class ShuttingDown(Unavailable):
    """The service is stopping; it takes no new work."""

    code = "shutting_down"
    detail = "the service is shutting down"


class DeadlineExceeded(ServiceError):
    """The result was not there in time."""

    code = "deadline_exceeded"
    status = 504
    detail = "the image could not be scored in time"
