"""What can go wrong between a PACS and the scoring service, sorted by what to do about it.

Messages hold nothing of a patient, no UID, and nothing a server answered.
"""

from wscxr.errors import WscxrError


class PacsError(WscxrError):
    """The bridge to the PACS failed."""

    code = "pacs_error"

    @property
    def reason(self) -> str:
        """Code that says why an instance failed."""
        return self.code


class ServerUnavailable(PacsError):
    """What all instances need cannot be used now; the bridge tries again until it can."""


class ArchiveUnavailable(ServerUnavailable):
    """The PACS cannot be reached, or is busy."""

    code = "pacs_unavailable"


class ArchiveRefuses(ServerUnavailable):
    """The PACS refuses: check its address and the credentials."""

    code = "pacs_refuses"


class AnalyserUnavailable(ServerUnavailable):
    """The scoring service cannot be reached, or is busy."""

    code = "analyser_unavailable"


class AnalyserRefuses(ServerUnavailable):
    """The scoring service refuses: check its address, the API key and the model."""

    code = "analyser_refuses"


class StateUnwritable(ServerUnavailable):
    """The state file cannot be read or written now: its disk is full, say, or another holds it."""

    code = "pacs_state_unwritable"


class ServerFault(PacsError):
    """A server failed, perhaps on this instance alone; the bridge tries a few times.

    Parameters
    ----------
    request_id
        Id of the server's answer, for its log; None where it gave none.
    """

    def __init__(self, request_id: str | None = None) -> None:
        super().__init__()
        self.request_id = request_id


class ArchiveFault(ServerFault):
    """The PACS failed on this instance at every try, or its answer makes no sense."""

    code = "pacs_fault"


class AnalyserFault(ServerFault):
    """The scoring service failed on this instance at every try, or its answer makes no sense."""

    code = "analyser_fault"


class ResultNotKept(ServerFault):
    """The PACS took a result, but does not have it."""

    code = "result_not_kept"


class InstanceGone(PacsError):
    """The instance is not in the PACS, or not any more."""

    code = "instance_gone"


class StudyNotFound(InstanceGone):
    """The study is not in the PACS."""

    code = "study_not_found"


class Refused(PacsError):
    """The instance cannot be analysed; sending it again changes nothing.

    Parameters
    ----------
    reason
        Stable code: that of the scoring service, or one of the bridge.
    request_id
        Id of the scoring service's answer, for its log; None where it was not asked.
    """

    code = "analysis_refused"

    def __init__(self, reason: str, request_id: str | None = None) -> None:
        super().__init__(f"the instance cannot be analysed: {reason}")
        self._reason = reason
        self.request_id = request_id

    @property
    def reason(self) -> str:
        """Code that says why an instance failed."""
        return self._reason


class UnreadableHeader(Refused):
    """The PACS sends a header that cannot be read."""

    code = "unreadable_header"

    def __init__(self) -> None:
        super().__init__(self.code)


class StateError(PacsError):
    """The state file cannot be used, or another version wrote it."""

    code = "invalid_pacs_state"
