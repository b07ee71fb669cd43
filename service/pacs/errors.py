"""What can go wrong between PACS and scoring service, by what is to be done about it.

::

    WscxrError
    └── PacsError                     pacs_error
        ├── Unavailable               (not this instance's fault: tried again until it works)
        │   ├── ArchiveUnavailable    pacs_unavailable
        │   ├── ArchiveRefuses        pacs_refuses
        │   ├── AnalyserUnavailable   analyser_unavailable
        │   └── AnalyserRefuses       analyser_refuses
        ├── Faulty                    (perhaps this instance's fault: a few tries)
        │   ├── ArchiveFault          pacs_fault
        │   ├── AnalyserFault         analyser_fault
        │   └── ResultNotKept         result_not_kept
        ├── InstanceGone              instance_gone
        │   └── StudyNotFound         study_not_found
        ├── Refused                   analysis_refused (its attribute ``reason`` is the code)
        └── StateError                invalid_pacs_state

Messages hold nothing of a patient, no UID, and nothing a server answered.
"""

from wscxr.errors import WscxrError


class PacsError(WscxrError):
    """Root of the errors of the bridge."""

    code = "pacs_error"
    detail = "the bridge to the PACS failed"

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.detail)


class Unavailable(PacsError):
    """A server cannot be used now; every other instance would meet the same."""


class ArchiveUnavailable(Unavailable):
    """The PACS does not answer, or says that it is busy."""

    code = "pacs_unavailable"
    detail = "the PACS cannot be reached, or is busy"


class ArchiveRefuses(Unavailable):
    """The PACS wants other credentials, or is not at this address."""

    code = "pacs_refuses"
    detail = "the PACS refuses: check its address and the credentials"


class AnalyserUnavailable(Unavailable):
    """The scoring service does not answer, or says that it is busy."""

    code = "analyser_unavailable"
    detail = "the scoring service cannot be reached, or is busy"


class AnalyserRefuses(Unavailable):
    """The scoring service wants another key or model, or is not at this address."""

    code = "analyser_refuses"
    detail = "the scoring service refuses: check its address, the API key and the model"


class Faulty(PacsError):
    """A server failed; perhaps on this instance alone."""


class ArchiveFault(Faulty):
    """The PACS failed on this request, or its answer makes no sense."""

    code = "pacs_fault"
    detail = "the PACS failed on this request, or its answer makes no sense"


class AnalyserFault(Faulty):
    """The scoring service failed on this instance, or its answer makes no sense."""

    code = "analyser_fault"
    detail = "the scoring service failed on this instance, or its answer makes no sense"


class ResultNotKept(Faulty):
    """The PACS took a result, but does not have it."""

    code = "result_not_kept"
    detail = "the PACS took a result, but does not have it"


class InstanceGone(PacsError):
    """The instance is not in the PACS (any more)."""

    code = "instance_gone"
    detail = "there is no such instance in the PACS"


class StudyNotFound(InstanceGone):
    """The PACS has no such study."""

    code = "study_not_found"
    detail = "there is no such study in the PACS"


class Refused(PacsError):
    """The instance cannot be analysed; sending it again changes nothing.

    Attributes
    ----------
    reason
        Stable code: that of the scoring service, or one of the bridge.
    """

    code = "analysis_refused"

    def __init__(self, reason: str) -> None:
        super().__init__(f"the instance cannot be analysed: {reason}")
        self.reason = reason


class StateError(PacsError):
    """The state file is not one of this program."""

    code = "invalid_pacs_state"
    detail = "the state file cannot be used"
