import logging

import pytest

from service.errors import TooManyWrongKeys
from service.http.attempts import WrongKeys


def refused(wrong: WrongKeys, address: str) -> bool:
    try:
        wrong.check(address)
    except TooManyWrongKeys:
        return True
    return False


def test_different_wrong_keys_of_one_address_are_limited(caplog: pytest.LogCaptureFixture) -> None:
    wrong = WrongKeys(limit=3, period_s=60)
    for number in range(3):
        assert not refused(wrong, "192.0.2.1")
        wrong.add("192.0.2.1", str(number))
    assert refused(wrong, "192.0.2.1")
    assert not refused(wrong, "192.0.2.2")
    [line] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert vars(line)["address"] == "192.0.2.1"


def test_one_old_key_locks_nobody_out() -> None:
    wrong = WrongKeys(limit=3)
    for _ in range(100):
        wrong.add("192.0.2.1", "the same")
    assert not refused(wrong, "192.0.2.1")


def test_it_ends() -> None:
    wrong = WrongKeys(limit=1, period_s=0)
    wrong.add("192.0.2.1", "0")
    assert not refused(wrong, "192.0.2.1")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("nonsense", "\x1b[31mother nonsense", True),
        ("", "nonsense", True),
    ],
)
def test_what_counts_as_one_address(first: str, second: str, *, same: bool) -> None:
    wrong = WrongKeys(limit=1)
    wrong.add(first, "0")
    assert refused(wrong, second) is same
