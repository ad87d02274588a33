"""Journeys in a real browser, each with and without JavaScript: what people do, from first page to last."""

import re
import shutil

import pyotp
import pytest
from playwright.sync_api import expect
from town import FAILED, GROUP, IN_TROUBLE, NAMES, Town, elsewhere, phone
from walker import a_browser, faults, walking

from reminders import clock, queries, store
from reminders.service.office import accounts

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def chromium():
    with a_browser() as browser:
        yield browser


@pytest.fixture
def town(sqlite_template, tmp_path):
    shutil.copy(sqlite_template, tmp_path / "town.db")
    clinic = Town(f"sqlite:///{tmp_path / 'town.db'}", tmp_path)
    yield clinic
    clinic.close()


@pytest.fixture(params=[True, False], ids=["javascript", "no-javascript"])
def javascript(request) -> bool:
    return request.param


def stands_in_nobodys_way(page, javascript) -> None:
    """Intermediate screens: what axe-core finds there. It needs JavaScript itself."""
    assert not javascript or not faults(page)


def test_sign_in_and_enrol_a_second_factor(chromium, town, javascript):
    """From an invitation to the first page; then again with password and code."""
    invited = accounts.invite(town.context, "ana.reyes", "Ana Reyes", "coordinator", clock.now(), who="test")
    with walking(chromium, town, javascript=javascript) as page:
        page.goto(invited.path)
        page.get_by_label("Password").fill("four plain words together")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Set up your second factor")
        secret = "".join(page.locator(".key code").all_text_contents())
        assert page.locator(".qr svg").bounding_box()["width"] > 100
        stands_in_nobodys_way(page, javascript)
        page.get_by_role("textbox", name="Code").fill(pyotp.TOTP(secret).at(clock.now()))
        page.get_by_role("button", name="Confirm").click()
        codes = page.locator(".codes code").all_text_contents()
        assert len(codes) == 10
        stands_in_nobodys_way(page, javascript)
        page.get_by_role("link", name=re.compile(r"Go on")).click()
        expect(page.get_by_role("link", name="Ana Reyes")).to_be_visible()
        page.get_by_role("button", name="Sign out").click()
        page.get_by_label("Login").fill("ana.reyes")
        page.get_by_label("Password").fill("four plain words together")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("textbox", name="Code").fill(codes[0])
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("link", name="Ana Reyes")).to_be_visible()


def texts_of(town, plan: str) -> list[queries.texts.Logged]:
    """Every text of a plan, by the opening of its window."""
    wanted = queries.texts.LogFilter(plan=plan, limit=1000)
    return elsewhere(lambda: town.context.database.read(lambda tx: queries.texts.log(tx, wanted)))[::-1]


def test_answer_an_urgent_reply_and_acknowledge_it(chromium, town, javascript):
    """From the first page: take the task, answer, record the outcome; then no alarm remains."""
    with walking(chromium, town, "clinician", javascript=javascript) as page:
        page.goto("/")
        expect(page).to_have_title(re.compile(r"\(1\) Today"))
        page.get_by_role("link", name="Someone may be in danger").click()
        expect(page.get_by_role("alert")).to_contain_text("988")
        page.get_by_role("button", name="Take it").click()
        expect(page.get_by_text("It is yours", exact=True)).to_be_visible()
        expect(page).not_to_have_title(re.compile(r"\(1\)"))
        page.get_by_label("Your text").fill("Your rehab counselor will call you")
        page.get_by_role("button", name="Send").click()
        expect(page.locator(".problems")).to_contain_text("rehab")  # a text never tells
        stands_in_nobodys_way(page, javascript)
        expect(page.get_by_label("Your text")).to_have_value("Your rehab counselor will call you")
        page.get_by_label("Your text").fill("Thank you for writing. I will call you now.")
        page.get_by_role("button", name="Check it first").click()
        expect(page.get_by_text("As it will read")).to_be_visible()
        stands_in_nobodys_way(page, javascript)
        page.get_by_role("button", name="Send").click()
        expect(page.locator("#talk")).to_contain_text("I will call you now.")
        page.get_by_label("Reached them").check()
        page.get_by_role("button", name="Close the task").click()
        expect(page.locator(".problems")).to_be_visible()  # a crisis ends with words about what became of them
        page.get_by_label("Reached them").check()
        page.get_by_label("What became of it").fill("Reached by phone; her sister is with her")
        page.get_by_role("button", name="Close the task").click()
        page.goto("/")
        expect(page.get_by_role("link", name="Someone may be in danger")).to_have_count(0)
    (task,) = queries.tasks.list_tasks(town.context.database, closed=True, kind="crisis")
    assert (task.outcome, task.owner) == ("reached", "staff:clinician.everywhere")
    said = [text for text in texts_of(town, f"DC-{IN_TROUBLE + 1}") if text.class_ == "staff"]
    assert len(said) <= 1


def test_a_new_plan_by_keyboard_alone(chromium, town, javascript):
    """Without a mouse: from Today to a plan whose texts were all shown before it started."""
    with walking(chromium, town, "coordinator", javascript=javascript) as page:
        page.goto("/plans")

        def tab_to(wanted: str) -> None:
            """Press Tab until the element that has this id or these words has the focus."""
            for _ in range(160):
                page.keyboard.press("Tab")
                here = page.evaluate(
                    "() => [document.activeElement.id, document.activeElement.textContent.trim().replace(/\\s+/g, ' ')]"
                )
                if wanted in here:
                    return
            raise AssertionError(f"{wanted} is not to be reached by Tab")

        def fill(name: str, words: str) -> None:
            tab_to(name)
            page.keyboard.type(words)

        tab_to("New plan")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("New plan")
        fill("patient.ref", "MRN-900")
        fill("patient.name", "Quinn Abara")
        fill("patient.phone", "(202) 555-0190")
        tab_to("consent.said")
        page.keyboard.press("Space")
        tab_to("consent.categories")
        page.keyboard.press("Space")
        fill("consent.on", "11302026")
        fill("consent.how", "signed form")
        tab_to("consent.warned_of_risk")
        page.keyboard.press("Space")
        fill("consent.verified", "read aloud")
        fill("plan.discharged_on", "11302026")
        fill("series.0.date", "12032026")
        fill("series.0.time", "0300PM")
        tab_to("look")
        page.keyboard.press("Enter")
        expect(page.locator("#texts")).to_contain_text("Thu Dec 3, 3:00pm")
        stands_in_nobodys_way(page, javascript)
        shown = page.locator("#texts .bubble.out:not(.not) p").all_text_contents()
        tab_to("start")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Plan")
    goes = [text for text in texts_of(town, page_ref(town, "MRN-900")) if text.state == "scheduled"]
    assert len(goes) == len(shown) > 0


def page_ref(town, patient: str) -> str:
    """The reference of a patient's plan."""
    sites = {row.id for row in town.context.database.read(store.people.all_sites)}
    wanted = queries.plans.PlanFilter(patient=patient)
    (plan,) = town.context.database.read(lambda tx: queries.plans.list_plans(tx, sites, wanted, clock.now()))
    return plan.ref


def test_a_therapist_is_ill_today_with_fourteen_patients(chromium, town, javascript):
    """A preview shows who gets a text and who must be phoned; then the session is off for all."""
    with walking(chromium, town, "coordinator", javascript=javascript) as page:
        page.goto("/sessions")
        page.get_by_role("link", name=re.compile(GROUP)).first.click()
        expect(page.locator("#in-it")).to_contain_text(str(len(NAMES)))
        page.get_by_label("It is called off").check()
        page.get_by_role("button", name="See what it would do").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Call it off for everyone?")
        told, phoned = (int(page.locator(".figures strong").nth(place).text_content()) for place in (0, 1))
        assert told + phoned == len(NAMES)
        stands_in_nobodys_way(page, javascript)
        assert phoned >= 1  # the number that cannot be reached, at least
        before = texts_of(town, "DC-3")
        assert not [text for text in before if text.class_ == "notice"]
        page.get_by_role("button", name=f"Call it off for all {len(NAMES)}").click()
        expect(page.get_by_text("called off", exact=True).first).to_be_visible()
        expect(page.get_by_text("must be phoned").first).to_be_visible()
    notices = [text for text in texts_of(town, "DC-3") if text.class_ == "notice" and text.state != "suppressed"]
    assert len(notices) == 1


def test_find_out_why_a_text_failed_and_act(chromium, town, javascript):
    """From the log's figure to the code, its meaning, and its task."""
    with walking(chromium, town, "coordinator", javascript=javascript) as page:
        page.goto("/log?state=undelivered")
        page.locator("table a[href^='/texts/']").first.click()
        main = page.get_by_role("main")
        expect(main).to_contain_text("30005")
        for heading in ("What this means", "What we do now", "What you can do", "Who"):
            expect(main).to_contain_text(heading)
        page.goto("/inbox?queue=open")
        page.get_by_role("link", name=re.compile(r"A number cannot be reached|A text did not arrive")).first.click()
        page.get_by_role("button", name="Take it").click()
        expect(page.get_by_text("It is yours", exact=True)).to_be_visible()
    owned = [
        task for task in queries.tasks.list_tasks(town.context.database) if task.owner == "staff:coordinator.everywhere"
    ]
    assert [task.to[-4:] for task in owned] == [phone(FAILED)[-4:]]


def test_move_an_appointment_and_see_its_texts_change(chromium, town, javascript):
    """A change is previewed, then made."""
    sites = {row.id for row in town.context.database.read(store.people.all_sites)}
    (plan,) = list(
        town.context.database.read(
            lambda tx: queries.plans.list_plans(tx, sites, queries.plans.PlanFilter(patient="MRN-3"), clock.now())
        )
    )
    before = {text.key for text in texts_of(town, "DC-3") if text.state == "scheduled"}
    with walking(chromium, town, "coordinator", javascript=javascript) as page:
        page.goto(f"/plans/{plan.id}")
        page.get_by_role("row", name=re.compile(r"Thu, Dec 3")).get_by_role("link", name=re.compile(r"Move")).click()
        page.get_by_role("textbox", name="New date").fill("2026-12-04")
        page.get_by_role("textbox", name="New time").fill("11:00")
        page.get_by_role("button", name="See what changes", exact=True).click()
        expect(page.locator("#effects")).to_contain_text("Fri, Dec 4, 2026, 11:00 am")
        stands_in_nobodys_way(page, javascript)
        assert {text.key for text in texts_of(town, "DC-3") if text.state == "scheduled"} == before
        page.get_by_role("button", name="Move it").click()
        expect(page.get_by_role("main")).to_contain_text("Fri, Dec 4, 2026, 11:00 am")
    after = {text.key for text in texts_of(town, "DC-3") if text.state == "scheduled"}
    assert "day:2026-12-04:1d@17:00" in after - before
    assert "day:2026-12-03:1d@17:00" in before - after
