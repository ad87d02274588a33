"""Limits on abuse are settings: another value applies at once, and a wrong one is refused with its key."""

import shutil
from contextlib import closing, contextmanager

import pytest
from api_caller import Program, make_key
from conftest import NOW, open_context
from people import raw
from web_caller import Caller, signature

from reminders import clock
from reminders.service.office import signing_in
from reminders.service.people import reader_case, staff_texts
from reminders.settings import SettingsError, load


@pytest.fixture
def opened(sqlite_template, tmp_path, travel):
    travel(NOW)
    file = tmp_path / "limits.db"
    shutil.copy(sqlite_template, file)

    @contextmanager
    def opened(**settings: str):
        with closing(open_context(f"sqlite:///{file}", tmp_path, **settings)) as context:
            yield context

    return opened


@pytest.mark.parametrize("most", [1, 3])
def test_limit_of_test_texts(opened, most):
    with opened(sending__samples_per_day=str(most)) as context:
        for _ in range(most):
            staff_texts.send_sample(
                context, "Oak Street Office: Hello.", "202-555-0155", clock.now(), who="x", site="main"
            )
        with pytest.raises(reader_case.Refused, match="samples_per_day"):
            staff_texts.send_sample(
                context, "Oak Street Office: Hello.", "202-555-0155", clock.now(), who="x", site="main"
            )


@pytest.mark.parametrize("most", [2, 4])
def test_limit_of_api_calls(opened, most):
    with opened(web__api_per_minute=str(most)) as context:
        program = Program(context, make_key(context, "read"))
        assert [program.get("/sites").status_code for _ in range(most + 1)] == [200] * most + [429]


@pytest.mark.parametrize("most", [1, 2])
def test_limit_of_previews(opened, travel, most):
    with opened(web__previews_per_minute=str(most)) as context:
        program = Program(context, make_key(context, "write", "people"))
        said = [program.post("/preview", raw()) for _ in range(most + 1)]
        assert [answer.status_code for answer in said] == [200] * most + [429]
        assert 0 < int(said[-1].headers["Retry-After"]) <= 60
        other = Program(context, make_key(context, "write"))
        assert other.post("/preview", raw()).status_code == 200  # it is each one's own
        travel(clock.now() + (NOW.replace(minute=1, second=1) - NOW))
        assert program.post("/preview", raw()).status_code == 200


@pytest.mark.parametrize("most", [3, 6])
def test_limit_of_wrong_sign_ins_of_a_login(opened, most):
    with opened(web__tries_per_login=str(most)) as context:
        for _ in range(most):
            assert signing_in.sign_in(context, "ana.reyes", "wrong", clock.now(), where="10.0.0.7") is None
        with pytest.raises(signing_in.TooManyTries):
            signing_in.sign_in(context, "ana.reyes", "wrong", clock.now(), where="10.0.0.7")


@pytest.mark.parametrize("most", [5, 7])
def test_limit_of_wrong_sign_ins_of_an_address(opened, most):
    with opened(web__tries_per_address=str(most)) as context:
        for number in range(most):
            assert signing_in.sign_in(context, f"login{number}", "wrong", clock.now(), where="10.0.0.7") is None
        with pytest.raises(signing_in.TooManyTries):
            signing_in.sign_in(context, "another", "wrong", clock.now(), where="10.0.0.7")


@pytest.mark.parametrize("most", [20_000, 30_000])
def test_limit_of_what_comes_in(opened, most):
    with opened(web__webhook_bytes=str(most), web__api_bytes="100000") as context:
        caller = Caller(context)
        for size, status in ((most, 403), (most + 1, 413)):
            body = b"Body=" + b"x" * (size - 5)
            assert caller.post("/sms/inbound", body, signature("x", [])).status_code == status
        program = Program(context, make_key(context, "write"))
        for size, status in ((90_000, 422), (110_000, 413)):
            assert program.post("/preview", {"x": "y" * size}).status_code == status


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sending.samples_per_day", "-1"),
        ("web.api_per_minute", "0"),
        ("web.previews_per_minute", "0"),
        ("web.previews_per_minute", "many"),
        ("web.tries_per_login", "2"),
        ("web.tries_per_address", "4"),
        ("web.api_bytes", "10"),
        ("web.webhook_bytes", "16383"),
        ("web.webhook_bytes", "1048577"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_by_its_name(tmp_path, key, value):
    variable = f"REMINDERS_{key.upper().replace('.', '__')}"
    with pytest.raises(SettingsError, match=f"{key}: must be .*{variable}"):
        load({variable: value}, tmp_path)
