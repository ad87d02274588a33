"""The pages of sites: another site that plans may name, closures, where values come from, and the switch."""

import shutil
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW, environment, logged, open_context
from people import one_off
from test_web_pages import Page
from two_sites import accept, open_north
from web_caller import Caller

from reminders import settings, store
from reminders.service.office import sites
from reminders.store.database import schema

WEST = {
    "key": "west", "alias": "West Hill Office", "phone": "202-555-0150", "line24": "(202) 555-0151",
    "zone": "America/Denver", "region": "US", "quiet_from": "21:00", "quiet_to": "08:00", "sender": "+15005550010",
    "pace": "2.5",
}  # fmt: skip


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, site__alias="Elm Street Office")
    open_north(opened)
    yield opened
    opened.close()


def post(context, path: str, role: str = "admin", site: str | None = None, **fields):
    return Caller(context, role=role, site=site).post(path, list(fields.items()))


def audited(context) -> list[tuple[str, str]]:
    rows = context.database.read(lambda tx: tx.all(sa.select(schema.audit).order_by(schema.audit.c.id)))
    return [(row.who, row.what) for row in rows if row.table == "sites"]


def test_another_site_is_made_and_plans_may_name_it(context):
    assert sites.add(context, WEST, NOW, who="test") == "west"
    site = sites.one(context, "west", NOW)
    assert (site.phone, site.quiet_from, site.senders[0].pace, site.senders[0].is_used) == (
        "+12025550150",
        "21:00",
        2.5,
        True,
    )
    accept(context, 4, "west", series=[one_off("v", "2026-12-03T15:00:00", zone="America/Denver", leads=["2h"])])
    (text,) = logged(context)
    assert (text.site, text.zone) == ("west", "America/Denver")
    with pytest.raises(sites.Refused) as refused:
        sites.add(context, WEST | {"sender": "+15005550011"}, NOW, who="test")
    assert refused.value.problems == {"key": "There is a site of this key already"}
    assert audited(context) == [("test", "site made")]


def test_a_site_is_added_by_its_form(here):
    answer = post(here, "/sites/new", **WEST)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sites/west?done=made")
    shown = Page(Caller(here, role="admin").page("/sites/west?done=made"))
    assert "Plans may name it now." in " ".join(shown.said("p"))
    assert shown.by_id("alias")["value"] == "West Hill Office"
    assert audited(here) == [("staff:admin.everywhere", "site made")]


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("key", "Elm Street", "small letters, digits and hyphens"),
        ("key", "new", "Choose another key"),
        ("key", "north", "There is a site of this key already"),
        ("alias", "Hilltop Detox", "detox"),
        ("alias", "Oak Street Offices East", "18"),
        ("alias", "Río Verde", "double the length"),
        ("alias", "", "empty"),
        ("phone", "12", "Enter a whole phone number"),
        ("line24", "", "Enter a whole phone number"),
        ("zone", "Denver", "not an IANA time zone"),
        ("region", "usa", "two capital letters"),
        ("quiet_from", "9ish", "no wall-clock time"),
        ("sender", "555", "must be a phone number"),
        ("sender", "+15005550006", "Another site has this sender"),
        ("pace", "fast", "must be a number"),
        ("pace", "-1", "0"),
    ],
)
def test_a_field_that_is_wrong_says_what_would_be_right(here, field, typed, said):
    answer = post(here, "/sites/new", **(WEST | {field: typed}))
    shown = Page(answer)
    assert answer.status_code == 422
    assert shown.said("title")[0].startswith("Error: Add a site")
    assert {"href": f"#{field}"} in shown.all("a")
    assert any(said in line.lower() or said in line for line in shown.said("li"))
    assert shown.by_id(field)["value"] == typed
    assert shown.by_id("zone")["value"] == (typed if field == "zone" else "America/Denver")
    assert audited(here) == []


def test_a_site_is_changed_with_what_it_was_on_record(here):
    answer = post(here, "/sites/north", **(WEST | {"key": "elsewhere", "sender": "+15005550009", "pace": "0"}))
    assert answer.headers["location"] == "/sites/north?done=changed"
    site = sites.one(here, "north", NOW)
    assert (site.key, site.alias, site.zone, site.senders[0].pace) == ("north", "West Hill Office", "America/Denver", 0)
    row = here.database.read(lambda tx: tx.first(sa.select(schema.audit).where(schema.audit.c.what == "site changed")))
    assert row.before_sealed is not None
    assert row.after_sealed is not None
    assert post(here, "/sites/north", **(WEST | {"alias": "Detox"})).status_code == 422


def test_of_the_default_site_it_is_said_where_each_value_comes_from(here, tmp_path, monkeypatch):
    (tmp_path / "settings.toml").write_text('[site]\nphone = "+12025550100"\n', encoding="utf-8")
    known = settings.load({"REMINDERS_SITE__ALIAS": "Elm Street Office"}, tmp_path)
    said = [settings.origin(known, "site", key, {"REMINDERS_SITE__ALIAS": "x"}) for key in ("alias", "phone", "zone")]
    assert said == ["REMINDERS_SITE__ALIAS", "settings.toml", "default"]
    for name, value in environment("sqlite:///here.db", site__alias="Elm Street Office").items():
        monkeypatch.setenv(name, value)
    shown = Page(Caller(here, role="admin").page("/sites/main"))
    assert "REMINDERS_SITE__ALIAS" in shown.said("td")
    assert "the default" in shown.said("td")
    assert not [one for one in shown.all("input") if one.get("name") == "alias"]
    assert post(here, "/sites/main", **WEST).status_code == 422


def test_a_closure_is_entered_and_taken_back_and_settings_do_not_undo_it(here):
    soon = NOW + timedelta(days=3)
    for key in ("main", "north"):
        assert post(here, f"/sites/{key}/closures", on="2026-12-03").headers["location"] == f"/sites/{key}?done=closed"
        assert sites.one(here, key, NOW).closures == (date(2026, 12, 3),)  # even after the settings are read again
        shown = Page(Caller(here, role="admin").page(f"/sites/{key}"))
        assert any(line.startswith("Thu, Dec 3, 2026") for line in shown.said("li"))
        assert post(here, f"/sites/{key}/closures", open="2026-12-03").headers["location"] == f"/sites/{key}?done=open"
        assert sites.one(here, key, soon).closures == ()
    for typed, said in (
        ("soon", "Enter a date"),
        ("2026-11-29", "from today on"),
        ("2099-01-01", "within three years"),
    ):
        answer = post(here, "/sites/main/closures", on=typed)
        assert answer.status_code == 422
        assert any(said in line for line in Page(answer).said("li"))


def test_a_closure_of_the_settings_is_changed_there(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "closed.db")
    opened = open_context(f"sqlite:///{tmp_path / 'closed.db'}", tmp_path, site__closures='["2026-12-25"]')
    sites.listed(opened, NOW)
    assert post(opened, "/sites/main/closures", open="2026-12-25").status_code == 422
    assert sites.set_closure(opened, "main", date(2026, 12, 24), NOW, closed=True, sites=None, who="test")
    assert sites.one(opened, "main", NOW).closures == (date(2026, 12, 24), date(2026, 12, 25))
    opened.close()


def test_sending_is_paused_after_a_question_and_resumed(here):
    accept(here, series=[one_off("v", "2026-11-30T14:00:00", leads=["2h"])])
    asked = Page(Caller(here, role="coordinator").page("/sites/main/pause"))
    assert "1 text would go within the next 24 hours" in " ".join(asked.said("p"))
    assert post(here, "/sites/main/pause", "coordinator").headers["location"] == "/sites/main?done=paused"
    assert here.database.read(lambda tx: [row.key for row in store.people.paused_sites(tx)]) == ["main"]
    shown = Caller(here, role="ops").page("/log").text
    assert 'action="/sites/main/resume"' in shown
    assert 'action="/sites/main/resume"' not in Caller(here, role="coordinator").page("/log").text
    assert post(here, "/sites/main/resume", "coordinator").status_code == 403
    assert post(here, "/sites/main/resume", "ops").headers["location"] == "/sites/main?done=resumed"
    assert [what for _, what in audited(here)] == ["sending paused", "sending resumed"]


def test_another_sites_staff_find_nothing(here):
    assert "north" not in Caller(here, role="coordinator", site="main").page("/sites").text
    for path in ("/sites/north", "/sites/north/pause", "/sites/moon"):
        assert Caller(here, role="coordinator", site="main").page(path).status_code == 404
    assert post(here, "/sites/north/pause", "coordinator", "main").status_code == 404
    assert post(here, "/sites/north", "admin", "main", **WEST).status_code == 404
    assert post(here, "/sites/new", "admin", "main", **WEST).status_code == 403
    assert post(here, "/sites/new", "ops", **WEST).status_code == 403


def test_the_rota_is_shown_without_an_address(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "rota.db")
    rota = (
        '[{"name": "Night nurse", "page": "json://127.0.0.1:9/secret", "days": "mon-fri", "hours": ["20:00", "08:00"]}]'
    )
    opened = open_context(f"sqlite:///{tmp_path / 'rota.db'}", tmp_path, site__on_call=rota)
    text = Caller(opened, role="ops").page("/sites").text
    shown = Page(Caller(opened, role="ops").page("/sites"))
    assert "Night nurse" in shown.said("td")
    assert "8:00 pm to 8:00 am" in shown.said("td")
    assert any("No one is on call" in line for line in shown.said("p"))
    assert "secret" not in text
    opened.close()
