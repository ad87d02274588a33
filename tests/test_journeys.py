"""Journeys in a real browser, each with JavaScript and without: what people come to do, first page to last."""

import re

import pyotp
import pytest
from playwright.sync_api import expect
from town import Town
from walker import a_browser, walking

from reminders import clock
from reminders.service import accounts

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def chromium():
    with a_browser() as browser:
        yield browser


@pytest.fixture
def town(sqlite_template, tmp_path):
    import shutil

    shutil.copy(sqlite_template, tmp_path / "town.db")
    clinic = Town(f"sqlite:///{tmp_path / 'town.db'}", tmp_path)
    yield clinic
    clinic.close()


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def javascript(request) -> bool:
    return request.param


def test_sign_in_and_enrol_a_second_factor(chromium, town, javascript):
    """From an invitation to the first page; then again with password and code."""
    invited = accounts.invite(town.house, "ana.reyes", "Ana Reyes", "coordinator", clock.now(), who="test")
    with walking(chromium, town, javascript=javascript) as page:
        page.goto(invited.path)
        page.get_by_label("Password").fill("four plain words together")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Set up your second factor")
        secret = "".join(page.locator(".key code").all_text_contents())
        assert page.locator(".qr svg").bounding_box()["width"] > 100
        page.get_by_label(re.compile(r"six digits")).fill(pyotp.TOTP(secret).at(clock.now()))
        page.get_by_role("button", name="Confirm").click()
        codes = page.locator(".codes code").all_text_contents()
        assert len(codes) == 10
        page.get_by_role("link", name=re.compile(r"Go on")).click()
        expect(page.get_by_role("link", name="Ana Reyes")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Login").fill("ana.reyes")
        page.get_by_label("Password").fill("four plain words together")
        page.get_by_role("button", name="Continue").click()
        page.get_by_label(re.compile(r"Six digits")).fill(codes[0])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Ana Reyes")).to_be_visible()
