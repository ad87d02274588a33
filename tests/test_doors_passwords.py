"""SEC-15: common passwords, and their usual variants, are refused."""

import pytest

from reminders.service.office import signing_in

COMMON = [
    "P@ssw0rd1234", "1qaz2wsx3edc", "1q2w3e4r5t6y", "Passw0rd!234", "Password1234!", "qazwsxedcrfv", "zaq12wsxcde3",
    "!QAZ2wsx#EDC", "Qwerty123456", "qwerty1234567", "Summer2026!!", "Winter2025!!!", "Welcome12345",
    "Welcome@2026", "Admin@123456", "Administrator1", "iloveyou1234", "letmein12345", "football1234",
    "Baseball2024", "princess1234", "sunshine2026", "monkey123456", "abcd1234efgh", "abcdefghijkl", "123456789abc",
    "1234qwerasdf", "asdf1234qwer", "Liverpool123", "michael12345", "Trustno1!!!!", "changeme2026", "Changeme1234!",
    "abc123abc123", "p@$$w0rd2026", "St@rw@rs1977", "M0nkeym0nkey", "Reminders2026!", "Aftercare123!",
    "Hospital2026!", "Recovery1234", "Clinic12345!", "Detox2026!!!", "NewYork12345", "January2026!", "november2026",
    "qweasdzxc123", "a1b2c3d4e5f6", "aa12345678bb", "111222333444", "987654321abc", "ana.reyes2026!",
    "Reyes-Ana-1994",
]  # fmt: skip


@pytest.mark.parametrize("password", COMMON)
def test_s15_what_is_guessed_first_is_refused(password):
    assert signing_in.check_password(password, "ana.reyes", "Ana Reyes") is not None


@pytest.mark.parametrize(
    "password",
    [
        "copper teapot under rain",
        "the river keeps its own time",
        "cuatro garzas cruzan el lago",
        "xK9#mQ2vLp8z",
        "雨の日に銅の急須と静かな鷺が四羽いる",
    ],
)
def test_s15_several_words_and_what_chance_makes_pass(password):
    assert signing_in.check_password(password, "ana.reyes", "Ana Reyes") is None
