"""DICOM audit messages (PS3.15, A.5), sent by syslog over TLS (RFC 5424 and RFC 5425)."""

import contextlib
import logging
import os
import queue
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from service.pacs.dicomweb import Instance
from service.pacs.settings import PacsSettings
from wscxr.errors import ConfigError

logger = logging.getLogger(__name__)

_CAPACITY = 10_000
"""Most messages that wait for the repository; more are lost."""

_RETRY_S = (1.0, 30.0)
_TIMEOUT_S = 10
_CLOSING_S = 5
_LOOK_S = 0.2
_PRIORITY = 85
"""Facility 10 (security), severity 5 (notice), as PS3.15, A.6 asks."""

_BOM = b"\xef\xbb\xbf"


class Code(NamedTuple):
    """A code of DICOM's controlled terminology (PS3.16, annex D), or of RFC 3881."""

    value: str
    meaning: str
    scheme: str = "DCM"


ACTIVITY = Code("110100", "Application Activity")
STARTED, STOPPED = Code("110120", "Application Start"), Code("110121", "Application Stop")
TRANSFERRED = Code("110104", "DICOM Instances Transferred")
_APPLICATION = Code("110150", "Application")
_SOURCE, _DESTINATION = Code("110153", "Source Role ID"), Code("110152", "Destination Role ID")
_STUDY = Code("110180", "Study Instance UID")
_PATIENT = Code("2", "Patient Number", "RFC-3881")


@dataclass(frozen=True)
class Transfer:
    """Instances of one study that went from the archive to the watcher, or back.

    Attributes
    ----------
    study, patient
        Study Instance UID, and Patient ID (0010,0020); that may be empty.
    sop_classes
        SOP Class UID of each instance.
    to_archive
        Whether results were stored.
    """

    study: str
    patient: str
    sop_classes: tuple[str, ...]
    to_archive: bool

    @classmethod
    def pulled(cls, instance: Instance, data: bytes) -> "Transfer":
        """A radiograph that was read."""
        header = None
        with contextlib.suppress(ValueError):  # damaged, and read all the same
            header = Instance.from_file(data).header
        patient, kind = (
            "" if header is None else str(header.get(name) or "")
            for name in ("PatientID", "SOPClassUID")
        )
        return cls(instance.study, patient, (kind,), to_archive=False)

    def answered(self, sop_classes: Iterable[str]) -> "Transfer":
        """The results for it that were stored."""
        return Transfer(self.study, self.patient, tuple(sop_classes), to_archive=True)


class AuditTrail:
    """Sends messages to an audit record repository; nothing waits for it.

    Parameters
    ----------
    settings
        With the address of a repository.
    lost
        Called for every message that is lost.

    Raises
    ------
    ConfigError
        Certificates cannot be read.
    """

    def __init__(self, settings: PacsSettings, lost: Callable[[], None]) -> None:
        host, _, port = (settings.audit or "").rpartition(":")
        self._address = host.strip("[]"), int(port)
        self._archive = settings.url.host or ""
        self._lost = lost
        try:
            self._context = ssl.create_default_context(cafile=settings.audit_ca_file)
            if settings.audit_cert_file is not None:
                self._context.load_cert_chain(settings.audit_cert_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"certificates of the audit trail cannot be read: {error}") from None
        self._messages: queue.Queue[bytes] = queue.Queue(_CAPACITY)
        self._unsent: bytes | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send until the block ends; its start and its end are messages as well."""
        self._thread.start()
        self._put(activity(STARTED))
        try:
            yield
        finally:
            self._put(activity(STOPPED))
            self._closing.set()
            self._thread.join(_CLOSING_S)
            for _ in range(self._waiting):
                self._lose()

    def note(self, transfer: Transfer) -> None:
        """Send that instances were transferred; returns at once, and raises nothing."""
        self._put(transferred(transfer, self._archive))

    def _put(self, message: Element) -> None:
        try:
            self._messages.put_nowait(tostring(message, encoding="utf-8"))
        except queue.Full:
            self._lose()

    @property
    def _waiting(self) -> int:
        return self._messages.qsize() + (self._unsent is not None)

    def _lose(self) -> None:
        self._lost()
        logger.error("audit message lost: the repository does not take it")

    def _run(self) -> None:
        wait_s = 0.0
        while not (self._closing.is_set() and not self._waiting):
            try:
                with self._connection() as connection:
                    wait_s = 0.0
                    self._send_all(connection)
            except OSError as error:
                wait_s = min(max(2 * wait_s, _RETRY_S[0]), _RETRY_S[1])
                logger.error(
                    "audit messages wait: the repository cannot be reached",
                    extra={"reason": type(error).__name__, "waiting": self._waiting},
                )
                if self._closing.wait(wait_s):
                    return

    @contextlib.contextmanager
    def _connection(self) -> Iterator[ssl.SSLSocket]:
        with (
            socket.create_connection(self._address, _TIMEOUT_S) as plain,
            self._context.wrap_socket(plain, server_hostname=self._address[0]) as secured,
        ):
            yield secured

    def _send_all(self, connection: ssl.SSLSocket) -> None:
        while True:
            if self._unsent is None:
                try:
                    self._unsent = self._messages.get(timeout=_LOOK_S)
                except queue.Empty:
                    if self._closing.is_set():
                        return
                    continue
            _check_open(connection)
            connection.sendall(framed(self._unsent))
            self._unsent = None


def _check_open(connection: ssl.SSLSocket) -> None:
    """Notice that the other side has closed: what is sent then is lost without an error."""
    connection.setblocking(False)  # noqa: FBT003 - it takes its argument by place alone
    try:
        closed = connection.recv(1) == b""
    except (ssl.SSLWantReadError, BlockingIOError):
        closed = False
    finally:
        connection.settimeout(_TIMEOUT_S)
    if closed:
        raise ConnectionResetError


def framed(message: bytes) -> bytes:
    """A message as syslog (RFC 5424), with its length before it (RFC 5425, 4.3)."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    host = socket.gethostname()[:255] or "-"
    head = f"<{_PRIORITY}>1 {now} {host} wscxr {os.getpid()} IHE+RFC-3881 - "
    line = head.encode() + _BOM + message
    return str(len(line)).encode() + b" " + line


def activity(kind: Code) -> Element:
    """Say that the watcher started or stopped (PS3.15, A.5.3.1)."""
    message = _message(ACTIVITY, "E", kind)
    _participant(message, "wscxr", _APPLICATION, socket.gethostname())
    _source(message)
    return message


def transferred(transfer: Transfer, archive: str) -> Element:
    """Say that instances were transferred (PS3.15, A.5.3.7).

    Parameters
    ----------
    archive
        Host name of the archive.
    """
    message = _message(TRANSFERRED, "C" if transfer.to_archive else "R")
    ours, theirs = ("wscxr", socket.gethostname()), (archive, archive)
    sender, receiver = (ours, theirs) if transfer.to_archive else (theirs, ours)
    _participant(message, sender[0], _SOURCE, sender[1])
    _participant(message, receiver[0], _DESTINATION, receiver[1])
    _source(message)
    study = _object(message, transfer.study, _STUDY, kind="2", role="3")
    description = SubElement(study, "ParticipantObjectDescription")
    for uid, count in Counter(transfer.sop_classes).items():
        SubElement(description, "SOPClass", UID=uid, NumberOfInstances=str(count))
    _object(message, transfer.patient or "unknown", _PATIENT, kind="1", role="1")
    return message


def _message(event: Code, action: str, kind: Code | None = None) -> Element:
    message = Element("AuditMessage")
    found = SubElement(
        message,
        "EventIdentification",
        EventActionCode=action,
        EventDateTime=datetime.now(UTC).isoformat(timespec="milliseconds"),
        EventOutcomeIndicator="0",
    )
    _coded(found, "EventID", event)
    if kind is not None:
        _coded(found, "EventTypeCode", kind)
    return message


def _participant(message: Element, user: str, role: Code, host: str) -> None:
    found = SubElement(
        message,
        "ActiveParticipant",
        UserID=user,
        # The watcher asks for all of this.
        UserIsRequestor="true" if user == "wscxr" else "false",
        NetworkAccessPointID=host,
        NetworkAccessPointTypeCode="1",
    )
    _coded(found, "RoleIDCode", role)


def _source(message: Element) -> None:
    found = SubElement(message, "AuditSourceIdentification", AuditSourceID=socket.gethostname())
    SubElement(found, "AuditSourceTypeCode", {"csd-code": "4"})


def _object(message: Element, name: str, code: Code, *, kind: str, role: str) -> Element:
    found = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=name,
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    _coded(found, "ParticipantObjectIDTypeCode", code)
    SubElement(found, "ParticipantObjectName").text = name
    return found


def _coded(parent: Element, tag: str, code: Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    SubElement(parent, tag, attributes)
