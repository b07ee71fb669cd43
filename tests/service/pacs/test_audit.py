"""DICOM audit messages at a real syslog server over TLS, which may be down for a while."""

import contextlib
import datetime
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.pacs.audit import AuditTrail, Transfer, transferred
from service.pacs.settings import PacsSettings
from tests.dicom_files import PATIENT_ID, PATIENT_NAME
from tests.service.pacs.conftest import StartWatcher
from tests.service.pacs.orthanc import Orthanc
from tests.service.pacs.processes import wait_until_holds
from tests.service.pacs.scorer import studies, with_results
from tests.service.serving import free_port, wait_for
from wscxr.errors import ConfigError

HEADER = re.compile(
    rb"<85>1 \d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}\+00:00 \S+ wscxr \d+ IHE\+RFC-3881 - \xef\xbb\xbf"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost with its key, which signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


class Repository:
    """An audit record repository that keeps what it is sent; it asks for a certificate."""

    def __init__(self, certificate: Path, port: int) -> None:
        self.frames: list[bytes] = []
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificate)
        self._context.load_cert_chain(certificate)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server(("127.0.0.1", port))
        self._open: list[ssl.SSLSocket] = []
        self._readers: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in (self._thread, *self._readers):
            thread.join()

    def messages(self) -> list[Element]:
        found = []
        for frame in self.frames:
            head = HEADER.match(frame)
            assert head is not None, frame
            found.append(fromstring(frame[head.end() :]))  # noqa: S314 - the watcher wrote it
        return found

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
                connection = self._context.wrap_socket(plain, server_side=True)
            except OSError:
                return
            self._open.append(connection)
            reader = threading.Thread(target=self._read, args=(connection,), daemon=True)
            reader.start()
            self._readers.append(reader)

    def _read(self, connection: ssl.SSLSocket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while length := _digits(stream):
                    self.frames.append(stream.read(int(length)))
        except (OSError, ValueError):
            return


def _digits(stream: Any) -> bytes:
    found = b""
    while (byte := stream.read(1)) not in (b" ", b""):
        found += byte
    return found


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def repository(certificate: Path, port: int) -> Iterator[Repository]:
    server = Repository(certificate, port)
    yield server
    server.close()


def settings(certificate: Path, port: int) -> PacsSettings:
    return PacsSettings.model_validate(
        {
            "url": "http://pacs.example:8042",
            "audit": f"localhost:{port}",
            "audit_ca_file": certificate,
            "audit_cert_file": certificate,
        }
    )


def transfer(number: int) -> Transfer:
    return Transfer(f"1.2.{number}", "p", ("1.2.840.10008.5.1.4.1.1.1",), to_archive=False)


def kinds(messages: list[Element]) -> list[tuple[str, str]]:
    """Event and action, or type, of each message."""
    found = []
    for message in messages:
        event = message.find("EventIdentification")
        assert event is not None
        kind = event.find("EventTypeCode")
        more = event.attrib["EventActionCode"] if kind is None else kind.attrib["csd-code"]
        name = event.find("EventID")
        assert name is not None
        found.append((name.attrib["csd-code"], more))
    return found


def test_what_the_watcher_does_is_on_record(
    orthanc: Orthanc, watch: StartWatcher, repository: Repository, certificate: Path, port: int
) -> None:
    watcher = watch(
        audit=f"localhost:{port}", audit_ca_file=certificate, audit_cert_file=certificate
    )
    sent = studies(1)
    orthanc.stow(list(sent.values()))
    wait_until_holds(orthanc, with_results(list(sent)))
    wait_for(lambda: len(repository.frames) >= 3)
    watcher.stop()
    wait_for(lambda: len(repository.frames) == 4)
    messages = repository.messages()
    start, stop = ("110100", "110120"), ("110100", "110121")
    assert kinds(messages) == [start, ("110104", "R"), ("110104", "C"), stop]
    for message, roles in zip(messages[1:3], (("110153", "110152"),) * 2, strict=True):
        found = [part.attrib["csd-code"] for part in message.iter("RoleIDCode")]
        assert tuple(found) == roles
        study, patient = message.findall("ParticipantObjectIdentification")
        assert patient.attrib["ParticipantObjectID"] == PATIENT_ID
        [sop] = study.iter("SOPClass")
        assert sop.attrib["NumberOfInstances"] == "1"
    users = [part.attrib["UserID"] for part in messages[1].iter("ActiveParticipant")]
    assert users == ["127.0.0.1", "wscxr"]
    users = [part.attrib["UserID"] for part in messages[2].iter("ActiveParticipant")]
    assert users == ["wscxr", "127.0.0.1"]
    log = watcher.output.read_text()
    assert PATIENT_ID not in log
    assert PATIENT_NAME not in log


def test_a_repository_that_is_down_loses_nothing(
    certificate: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.pacs.audit._RETRY_S", (0.05, 0.05))
    lost: list[None] = []
    trail = AuditTrail(settings(certificate, port), lambda: lost.append(None))
    with trail.running():
        trail.note(transfer(1))
        first = Repository(certificate, port)
        wait_for(lambda: len(first.frames) == 2)
        first.close()
        trail.note(transfer(2))
        second = Repository(certificate, port)
        trail.note(transfer(3))
        wait_for(lambda: len(second.frames) == 2)
    wait_for(lambda: len(second.frames) == 3)
    second.close()
    studies = [
        message.find("ParticipantObjectIdentification")
        for message in (*first.messages(), *second.messages())
    ]
    assert [one.attrib["ParticipantObjectID"] for one in studies if one is not None] == [
        "1.2.1",
        "1.2.2",
        "1.2.3",
    ]
    assert lost == []


def test_what_is_lost_is_counted(
    certificate: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.pacs.audit._CAPACITY", 3)
    lost: list[None] = []
    trail = AuditTrail(settings(certificate, port), lambda: lost.append(None))
    with trail.running():
        for number in range(5):
            trail.note(transfer(number))
    # The start, five transfers and the end; nobody ever took one.
    assert len(lost) == 7


def test_order_and_text_of_a_message() -> None:
    """In the order of PS3.15, A.5.1; what a header says is text."""
    hostile = Transfer("1.2.3", '<P&"x', ("1.2", "1.2", "1.3"), to_archive=True)
    message = transferred(hostile, "pacs")
    assert [part.tag for part in message] == [
        "EventIdentification",
        *["ActiveParticipant"] * 2,
        "AuditSourceIdentification",
        *["ParticipantObjectIdentification"] * 2,
    ]
    study, patient = message.findall("ParticipantObjectIdentification")
    counts = [part.attrib for part in study.iter("SOPClass")]
    assert counts == [
        {"UID": "1.2", "NumberOfInstances": "2"},
        {"UID": "1.3", "NumberOfInstances": "1"},
    ]
    assert patient.attrib["ParticipantObjectID"] == '<P&"x'


def test_a_certificate_that_is_not_there(certificate: Path, port: int, tmp_path: Path) -> None:
    wrong = settings(certificate, port).model_copy(update={"audit_ca_file": tmp_path / "none"})
    with pytest.raises(ConfigError, match="audit trail"):
        AuditTrail(wrong, lambda: None)
