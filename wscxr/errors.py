"""Every error a caller may meet, as one tree.

::

    WscxrError
    ├── ImageError                 one image cannot be used (the image is at fault)
    │   ├── EmptyFile              empty_file
    │   ├── FileTooLarge           file_too_large
    │   ├── UnsupportedFormat      unsupported_format
    │   ├── CorruptImage           corrupt_image
    │   ├── MultiFrameImage        multi_frame_image
    │   ├── ImageTooSmall          image_too_small
    │   ├── TooManyPixels          too_many_pixels
    │   ├── BlankImage             blank_image
    │   ├── UnsupportedSyntax      unsupported_transfer_syntax
    │   └── OutOfScope             out_of_scope (a sound DICOM object that is not to be scored)
    │       ├── NoPixelData        no_pixel_data
    │       ├── ColourImage        colour_image
    │       ├── WrongModality      wrong_modality
    │       ├── WrongBodyPart      wrong_body_part
    │       └── LateralView        lateral_view
    ├── ConfigError                invalid_config
    ├── DataError                  invalid_data
    │   ├── SampleListError        invalid_manifest
    │   └── NotEnoughImages        not_enough_images
    ├── WeightsError               invalid_weights
    │   └── WeightsUnavailable     weights_unavailable
    ├── DeviceUnavailable          device_unavailable
    └── BundleError                invalid_bundle
        ├── BundleNotFound         bundle_not_found
        ├── BundleExists           bundle_exists
        ├── BundleDamaged          bundle_damaged
        ├── UnknownSchema          unknown_schema
        └── GoldenCheckFailed      golden_check_failed

Codes are part of the public interface: scripts match on them, so they never change.
Messages are for people; they never hold a file name, a path or anything read from an image,
because they travel into HTTP answers and logs. Callers that know a path add it themselves.
Bundle and weights errors are the exception: they are read by the operator who gave the path.
"""

from typing import ClassVar


class WscxrError(Exception):
    """Root of all errors raised on purpose by this project."""

    code: ClassVar[str] = "wscxr_error"


class ImageError(WscxrError):
    """One image cannot be used."""

    code = "invalid_image"


class EmptyFile(ImageError):
    """The file holds no bytes."""

    code = "empty_file"


class FileTooLarge(ImageError):
    """The file has more bytes than the limit."""

    code = "file_too_large"


class UnsupportedFormat(ImageError):
    """The first bytes are not those of a format that can be read."""

    code = "unsupported_format"


class CorruptImage(ImageError):
    """The format is known, but the content is truncated or damaged."""

    code = "corrupt_image"


class MultiFrameImage(ImageError):
    """The file holds more than one picture, so which one to score is unclear."""

    code = "multi_frame_image"


class ImageTooSmall(ImageError):
    """A side is shorter than any radiograph's."""

    code = "image_too_small"


class TooManyPixels(ImageError):
    """The header announces more pixels than the limit; nothing was decoded."""

    code = "too_many_pixels"


class BlankImage(ImageError):
    """All pixels have the same value: there is nothing to score."""

    code = "blank_image"


class UnsupportedSyntax(ImageError):
    """No decoder reads this DICOM transfer syntax (PS3.5, section 10) with these pixels."""

    code = "unsupported_transfer_syntax"


class OutOfScope(ImageError):
    """A sound DICOM object that is not to be scored; sending it again changes nothing."""

    code = "out_of_scope"


class NoPixelData(OutOfScope):
    """The object holds no picture: a report, a presentation state, a float map."""

    code = "no_pixel_data"


class ColourImage(OutOfScope):
    """The DICOM picture is in colour: a photograph or a screen capture, no radiograph."""

    code = "colour_image"


class WrongModality(OutOfScope):
    """The modality is none of those that are scored."""

    code = "wrong_modality"


class WrongBodyPart(OutOfScope):
    """The header does not say that the picture shows a chest."""

    code = "wrong_body_part"


class LateralView(OutOfScope):
    """The header says that the view is lateral."""

    code = "lateral_view"


class ConfigError(WscxrError):
    """A setting is unknown, out of range, or does not fit the others."""

    code = "invalid_config"


class DataError(WscxrError):
    """The images given for training or evaluation cannot be used."""

    code = "invalid_data"


class SampleListError(DataError):
    """The manifest CSV cannot be read."""

    code = "invalid_manifest"


class NotEnoughImages(DataError):
    """Fewer images than the run needs."""

    code = "not_enough_images"


class WeightsError(WscxrError):
    """Backbone weights do not fit the architecture, or the file is damaged."""

    code = "invalid_weights"


class WeightsUnavailable(WeightsError):
    """Backbone weights could not be fetched or found."""

    code = "weights_unavailable"


class DeviceUnavailable(WscxrError):
    """The device that was asked for is not there."""

    code = "device_unavailable"


class BundleError(WscxrError):
    """A bundle cannot be used."""

    code = "invalid_bundle"


class BundleNotFound(BundleError):
    """There is no bundle at that place."""

    code = "bundle_not_found"


class BundleExists(BundleError):
    """There is something at the place where a bundle was to be written."""

    code = "bundle_exists"


class BundleDamaged(BundleError):
    """A file of the bundle is missing, or its hash is wrong."""

    code = "bundle_damaged"


class UnknownSchema(BundleError):
    """The bundle was written by a version with another schema."""

    code = "unknown_schema"


class GoldenCheckFailed(BundleError):
    """The loaded detector does not give the scores it gave when it was trained."""

    code = "golden_check_failed"
