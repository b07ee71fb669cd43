"""The root of every expected error, and the errors of images, data, settings and bundles.

Each class carries all that is said of it: a stable `code`, the HTTP `status` and the `exit_code`
that answer it, and a `summary`, which is the first line of its docstring. docs/errors.md and the
errors in the OpenAPI document are generated from the classes. `service.errors` and
`service.pacs.errors` add theirs.

Codes never change: scripts match on them. Messages are for people. They hold no file name, no path
and nothing read from an image, because they travel into HTTP answers and logs; a caller that knows
the path adds it. Errors of settings, tables, bundles and weights may name a path: the operator
gave it.
"""

import inspect
from typing import ClassVar


class WscxrError(Exception):
    """Something expected went wrong.

    Attributes
    ----------
    code
        Stable name of the kind of error.
    status
        HTTP status of the answer, where the service answers with this error.
    exit_code
        Exit code of a command that ends with this error.
    summary
        When it happens: one sentence, the first line of the class's docstring. An error that is
        raised without a message says this.
    """

    code: ClassVar[str] = "wscxr_error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1
    summary: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.summary = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    def __init__(self, message: str | None = None) -> None:
        default = self.summary.removesuffix(".")
        lower = default[:1].lower() + default[1:]
        # An abbreviation keeps its capitals.
        super().__init__(message or (default if default[1:2].isupper() else lower))


class ImageError(WscxrError):
    """The image cannot be used."""

    code = "invalid_image"
    status = 422
    exit_code = 3


class EmptyFile(ImageError):
    """The file holds no bytes."""

    code = "empty_file"


class FileTooLarge(ImageError):
    """The file, or the data set it inflates to, has more bytes than WSCXR_MAX_BODY_BYTES."""

    code = "file_too_large"
    status = 413


class UnsupportedFormat(ImageError):
    """The first bytes are not those of a PNG, JPEG or DICOM file."""

    code = "unsupported_format"
    status = 415


class CorruptImage(ImageError):
    """The format is known, but the content is truncated or damaged."""

    code = "corrupt_image"


class MultiFrameImage(ImageError):
    """The file holds several pictures, so which one to score is unclear."""

    code = "multi_frame_image"


class ImageTooSmall(ImageError):
    """A side is shorter than 32 pixels."""

    code = "image_too_small"


class TooManyPixels(ImageError):
    """The header announces more pixels than WSCXR_MAX_PIXELS or the memory allow."""

    code = "too_many_pixels"
    status = 413


class TooManyScans(ImageError):
    """The JPEG stream has so many scans that decoding would take too long; nothing was decoded."""

    code = "too_many_scans"
    status = 413


class TooManyParts(ImageError):
    """The JPEG 2000 stream has so many parts that decoding would take long; nothing was decoded."""

    code = "too_many_parts"
    status = 413


class BlankImage(ImageError):
    """All pixels have the same value."""

    code = "blank_image"


class UnsupportedSyntax(ImageError):
    """No decoder reads this DICOM transfer syntax (PS3.5, section 10) with these pixels."""

    code = "unsupported_transfer_syntax"


class OutOfScope(ImageError):
    """The DICOM object is sound, but not to be scored; sending it again changes nothing."""

    code = "out_of_scope"


class NoPixelData(OutOfScope):
    """The DICOM object holds no picture: a report, a presentation state, a float map."""

    code = "no_pixel_data"


class ColourImage(OutOfScope):
    """The DICOM picture is in colour: a photograph or a screen capture, no radiograph."""

    code = "colour_image"


class WrongModality(OutOfScope):
    """The DICOM modality is neither CR nor DX, nor SC or OT with a header that says chest."""

    code = "wrong_modality"


class WrongBodyPart(OutOfScope):
    """The DICOM header does not say that the picture shows a chest."""

    code = "wrong_body_part"


class LateralView(OutOfScope):
    """The DICOM header says that the view is lateral, and WSCXR_DICOM__LATERAL refuses those."""

    code = "lateral_view"


class ConfigError(WscxrError):
    """A setting is unknown, out of range, or contradicts another."""

    code = "invalid_config"
    exit_code = 2


class DataError(WscxrError):
    """The images or labels given cannot be used."""

    code = "invalid_data"
    exit_code = 3


class SampleListError(DataError):
    """A CSV of images or boxes cannot be read."""

    code = "invalid_manifest"


class NotEnoughImages(DataError):
    """There are fewer images than the run needs."""

    code = "not_enough_images"


class NoReviews(DataError):
    """The reviews hold no image that was judged abnormal or normal."""

    code = "no_reviews"


class NoAbnormalReviews(DataError):
    """No reviewed image that may be learnt from was judged abnormal, so the K cannot grow."""

    code = "no_abnormal_reviews"


class TooFewReviews(DataError):
    """The reviews kept aside for the comparison lack a class."""

    code = "too_few_reviews"


class ImagesNotKept(DataError):
    """Reviewed images are not there: the record did not keep them, or they were deleted."""

    code = "images_not_kept"


class PatientOverlap(DataError):
    """The former version learnt from patients whom the comparison would keep aside."""

    code = "patient_overlap"


class WeightsError(WscxrError):
    """Backbone weights do not fit the architecture, or their file is damaged."""

    code = "invalid_weights"
    exit_code = 5


class WeightsUnavailable(WeightsError):
    """Backbone weights could not be fetched or found."""

    code = "weights_unavailable"


class DeviceUnavailable(WscxrError):
    """The device asked for is not there."""

    code = "device_unavailable"
    exit_code = 5


class EngineUnavailable(WscxrError):
    """The engine asked for is not installed, or cannot run these networks on this machine."""

    code = "engine_unavailable"
    exit_code = 5


class BundleError(WscxrError):
    """The bundle cannot be used."""

    code = "invalid_bundle"
    exit_code = 4


class BundleNotFound(BundleError):
    """No bundle is at that path."""

    code = "bundle_not_found"


class BundleExists(BundleError):
    """Something is already at the path where a bundle was to be written."""

    code = "bundle_exists"


class BundleDamaged(BundleError):
    """A file of the bundle is missing, or its hash is wrong."""

    code = "bundle_damaged"


class BundleUnsigned(BundleError):
    """The bundle has no signature, and WSCXR_TRUSTED_KEYS asks for one."""

    code = "bundle_unsigned"


class BundleUntrusted(BundleError):
    """No key of WSCXR_TRUSTED_KEYS signed the bundle as it is, under its name and version."""

    code = "bundle_untrusted"


class UnknownSchema(BundleError):
    """The bundle was written by a version with another schema."""

    code = "unknown_schema"


class GoldenCheckFailed(BundleError):
    """The loaded detector does not give the scores it gave when it was trained."""

    code = "golden_check_failed"


def kinds(root: type[WscxrError]) -> list[type[WscxrError]]:
    """List the errors below a root that have no error below themselves, in order of definition."""
    found: list[type[WscxrError]] = []
    for kind in root.__subclasses__():
        found += kinds(kind) or [kind]
    return found
