"""The errors of the service itself, below `wscxr.errors.WscxrError`.

A client reads the message as ``detail``; it holds nothing of an image, a file name or the text of
another exception.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from wscxr.errors import WscxrError

if TYPE_CHECKING:
    from pydantic import JsonValue


class ServiceError(WscxrError):
    """A request does not end in a result.

    Attributes
    ----------
    headers
        Headers that the answer carries beside its body.
    members
        Members of the problem beside those of every problem (RFC 9457, section 3.2).
    """

    headers: ClassVar[Mapping[str, str]] = {}
    members: Mapping[str, "JsonValue"] = {}


class MalformedBody(ServiceError):
    """The body cannot be read as multipart/form-data."""

    code = "malformed_body"
    status = 400


class MalformedRequest(ServiceError):
    """The request is no valid HTTP, or announces its length in two ways."""

    code = "malformed_request"
    status = 400


class NoWebSocket(ServiceError):
    """The request is a WebSocket handshake; everything here is plain HTTP."""

    code = "no_websocket"
    status = 400


class Unauthorized(ServiceError):
    """The request lacks the API key: send it as X-API-Key, or as a Bearer token."""

    code = "unauthorized"
    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="wscxr"'}


class KeyNotInForce(ServiceError):
    """The API key is not valid yet, or has expired."""

    code = "key_not_in_force"
    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="wscxr"'}


class Forbidden(ServiceError):
    """The role of the API key does not allow this; it takes an admin's."""

    code = "forbidden"
    status = 403


class CrossSite(Forbidden):
    """The request came with the cookie of the reading room, but not from its page."""

    code = "cross_site"


class NotFound(ServiceError):
    """Nothing is at this path; see /docs."""

    code = "not_found"
    status = 404


class ModelNotFound(NotFound):
    """No loaded model has that name; see /v1/models."""

    code = "model_not_found"


class VersionNotFound(NotFound):
    """The model store has no such version of this model."""

    code = "version_not_found"


class MapNotFound(NotFound):
    """There is no such anomaly map, or it has expired."""

    code = "map_not_found"


class PacsNotConfigured(NotFound):
    """The service was started without the address of a PACS; see WSCXR_PACS_URL."""

    code = "pacs_not_configured"


class JobNotFound(NotFound):
    """There is no such job, or it ended more than an hour ago."""

    code = "job_not_found"


class RecordsOff(NotFound):
    """The service records no analyses; see WSCXR_RECORDS."""

    code = "records_off"


class AnalysisNotFound(NotFound):
    """The record holds no such analysis, or not any more."""

    code = "analysis_not_found"


class ImageNotKept(NotFound):
    """The picture of this analysis was not kept (WSCXR_RECORD_IMAGES), nor found in a PACS."""

    code = "image_not_kept"


class MethodNotAllowed(ServiceError):
    """The path does not take that method; see the Allow header."""

    code = "method_not_allowed"
    status = 405


class UploadTooSlow(ServiceError):
    """The request body did not arrive within WSCXR_REQUEST_TIMEOUT_S."""

    code = "upload_too_slow"
    status = 408


class ModelPinned(ServiceError):
    """WSCXR_MODEL names the version to serve, so no other can be promoted."""

    code = "model_pinned"
    status = 409


class PromotionFailed(ServiceError):
    """The new version cannot be used, or the model store cannot be written; the old one stays."""

    code = "promotion_failed"
    status = 409


class ReviewConflict(ServiceError):
    """Somebody else has judged this analysis since; the answer holds their review.

    Parameters
    ----------
    review
        The review that stands, as JSON.
    """

    code = "review_conflict"
    status = 409

    def __init__(self, review: "JsonValue" = None) -> None:
        super().__init__()
        self.members = {"review": review}


class BodyTooLarge(ServiceError):
    """The request body has more bytes than WSCXR_MAX_BODY_BYTES."""

    code = "body_too_large"
    status = 413


class InvalidRequest(ServiceError):
    """A parameter is missing or out of range."""

    code = "invalid_request"
    status = 422


class MissingFile(InvalidRequest):
    """The multipart field for the radiograph is missing, or is not a file."""

    code = "missing_file"


class TooManyFiles(InvalidRequest):
    """The request carries several files where one is scored; /v1/predict/batch takes several."""

    code = "too_many_files"


class BatchTooLarge(TooManyFiles):
    """The batch has more files than WSCXR_MAX_FILES."""

    status = 413


class ModelRequired(InvalidRequest):
    """Several models are loaded and none is the default: name one with ?model=NAME."""

    code = "model_required"


class MapTooLarge(InvalidRequest):
    """The map is larger than WSCXR_MAP_CACHE_BYTES; use map=base64 or /v1/predict/map."""

    code = "map_too_large"


class ClientGone(ServiceError):
    """The client closed the connection; only log and metrics show this code."""

    code = "client_gone"
    status = 499


class TooManyWrongKeys(ServiceError):
    """Ten different wrong API keys came from this address within a minute; wait a minute."""

    code = "too_many_wrong_keys"
    status = 429
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "60"}


KEY_ERRORS: tuple[type[ServiceError], ...] = (Unauthorized, KeyNotInForce, TooManyWrongKeys)
"""What any path that needs an API key may answer with."""


class InternalError(ServiceError):
    """The service failed in an unexpected way; its log has the reason under the request id."""

    code = "internal_error"
    status = 500


class InferenceFailed(InternalError):
    """The detector failed on this image; others of its batch are not affected."""

    code = "inference_failed"


class TryLater(ServiceError):
    """The service cannot take the request now; it may a moment later."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "1"}


class NotReady(TryLater):
    """The models are still being loaded and checked."""

    code = "not_ready"


class WorkersStuck(TryLater):
    """Every thread that decodes has been at one image for longer than WSCXR_REQUEST_TIMEOUT_S."""

    code = "workers_stuck"


class QueueFull(TryLater):
    """WSCXR_QUEUE_SIZE, WSCXR_MAX_HELD_BYTES or WSCXR_MAX_DECODING_BYTES is used up for now."""

    code = "queue_full"


class ShuttingDown(TryLater):
    """The service is stopping and takes no new work."""

    code = "shutting_down"


class ArchiveSilent(TryLater):
    """The PACS that holds the picture of this analysis does not answer, or not in time."""

    code = "archive_silent"


class RecordsUnavailable(TryLater):
    """The database of the record does not answer, or not in time."""

    code = "records_unavailable"


class RecordsFull(TryLater):
    """The disk of the record's database is full; what waits is written once there is room."""

    code = "records_full"


class RecordsVersion(TryLater):
    """A later version of this program wrote the record's database; use that version."""

    code = "records_version"


class DeadlineExceeded(ServiceError):
    """The image was not scored within WSCXR_REQUEST_TIMEOUT_S."""

    code = "deadline_exceeded"
    status = 504
