"""After any edits, in any order, no reader is told of a false change, and no words are sent twice in a day."""

import shutil
import tempfile
from collections import Counter
from datetime import timedelta
from operator import itemgetter
from pathlib import Path

import pytest
from conftest import NOW, begun, open_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import document, one_off
from sqlalchemy import select

from reminders.service import planning
from reminders.service.planning.replanning import replan
from reminders.store.database.schema import appointments, patients, series, text_items, texts

EDITED = NOW + timedelta(hours=1)

SERIES = st.lists(
    st.builds(
        lambda key, day, hour, rule: one_off(key, f"2026-12-{day:02}T{hour:02}:00:00", leads=["1d@17:00"], **rule),
        st.sampled_from(("a", "b", "c")),
        st.integers(1, 4),
        st.sampled_from((10, 11, 15)),
        st.sampled_from(({}, {"repeats": "FREQ=DAILY;COUNT=3"}, {"repeats": "FREQ=WEEKLY;COUNT=2"})),
    ),
    min_size=1,
    max_size=3,
    unique_by=itemgetter("key"),
)


def _context(template, folder):
    shutil.copy(template, folder / "reminders.db")
    return open_context(f"sqlite:///{folder / 'reminders.db'}", folder)


def _visits(context):
    """The instants of the visits that are on."""
    query = select(appointments.c.starts_at).where(appointments.c.status == "booked")
    return Counter(row.starts_at for row in context.database.read(lambda tx: tx.all(query)))


def _notices(context):
    """The waiting or sent notices: kind → what they say, and what was known."""

    def look(tx):
        query = select(texts.c.id, texts.c.wording, text_items.c.tells, text_items.c.was, appointments.c.wall)
        query = query.join(text_items, text_items.c.text_id == texts.c.id)
        query = query.join(appointments, appointments.c.id == text_items.c.appointment_id)
        query = query.join(series, series.c.id == appointments.c.series_id)
        return tx.all(query.where(texts.c["class"] == "notice", texts.c.state != "cancelled"))

    return context.database.read(look)


def _said(rows):
    return sorted((row.wording, row.tells, row.was) for row in rows)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(SERIES, SERIES, st.booleans())
def test_no_reader_is_told_of_a_change_that_is_none(sqlite_template, before, after, again):
    with tempfile.TemporaryDirectory() as name:
        context = _context(sqlite_template, Path(name))
        try:
            planning.accept(context, document(series=before), NOW, who="test")
            old = _visits(context)
            planning.accept(context, document(series=after), EDITED, who="test")
            new = _visits(context)
            rows = _notices(context)
            kinds = Counter({row.id: row.wording for row in rows}.values())
            assert all(many == 1 for many in kinds.values()), "one text for each kind of change"
            off = Counter(row.wall for row in rows if row.wording == "called_off")
            assert not off or sum(off.values()) <= sum((old - new).values()), "only what is gone is called off"
            for row in rows:
                assert row.was != row.tells.split(" ")[0] or not row.tells.endswith("booked"), "news is news"
            if old == new:
                assert not rows
            # The same edit again, planned again, and undone: no false news is sent.
            context.database.write(lambda tx: replan(context, tx, [tx.value(select(patients.c.id))], EDITED))
            assert _said(_notices(context)) == _said(rows)
            if again:
                planning.accept(context, document(series=before), EDITED, who="test")
                assert _visits(context) == old
                assert not _notices(context), "back as it was: nothing is told"
                planning.accept(context, document(series=after), EDITED, who="test")
                assert _visits(context) == new
            started = begun(context, EDITED)
            words = Counter(one.body for one in started if one.to)
            assert all(many == 1 for many in words.values()), "no words go twice"
        finally:
            context.close()


MERGED = [one_off("c", "2026-12-01T11:00:00", leads=["1d@17:00"])]
SPLIT = [one_off(key, f"2026-12-01T{hour}:00:00", leads=["1d@17:00"]) for key, hour in (("a", 10), ("b", 15))]
SPLIT_OTHERWISE = [one | {"key": key} for one, key in zip(SPLIT, ("x", "y"), strict=True)]
DAILY = [one_off("a", "2026-12-01T10:00:00", leads=["1d@17:00"], repeats="FREQ=DAILY;COUNT=3")]
LATER_DAILY = [one_off("b", "2026-12-01T15:00:00", leads=["1d@17:00"], repeats="FREQ=DAILY;COUNT=2")]


@pytest.mark.parametrize(
    ("before", "after", "back"),
    [
        (SPLIT, MERGED, SPLIT),
        (SPLIT, MERGED, SPLIT[::-1]),
        (SPLIT, MERGED, SPLIT_OTHERWISE),
        (SPLIT, [SPLIT[1] | {"key": "c"}], SPLIT_OTHERWISE),
        (DAILY, LATER_DAILY, DAILY),
        (DAILY, SPLIT, DAILY),
    ],
)
def test_long_run_3_an_edit_that_is_taken_back_tells_nothing(context, before, after, back):
    planning.accept(context, document(series=before), NOW, who="test")
    visits = _visits(context)
    planning.accept(context, document(series=after), EDITED, who="test")
    assert _notices(context)
    planning.accept(context, document(series=back), EDITED + timedelta(minutes=1), who="test")
    assert _visits(context) == visits
    assert _notices(context) == []
    # And once more, there and back.
    planning.accept(context, document(series=after), EDITED + timedelta(minutes=2), who="test")
    planning.accept(context, document(series=before), EDITED + timedelta(minutes=3), who="test")
    assert _notices(context) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_replanning_in_any_order_ends_the_same(context, order):
    for number in (1, 2):
        planning.accept(
            context,
            document(
                plan={"ref": f"P-{number}"},
                patient={"ref": f"M-{number}", "phone": f"202-555-010{number}"},
                series=[one_off("a", "2026-12-02T10:00:00", repeats="FREQ=DAILY;COUNT=3")],
            ),
            NOW,
            who="test",
        )
        planning.accept(
            context,
            document(
                plan={"ref": f"P-{number}"},
                patient={"ref": f"M-{number}", "phone": f"202-555-010{number}"},
                series=[one_off("a", "2026-12-02T11:00:00", repeats="FREQ=DAILY;COUNT=3")],
            ),
            EDITED,
            who="test",
        )
    said = _said(_notices(context))
    ids = context.database.read(lambda tx: [row.id for row in tx.all(select(patients.c.id).order_by(patients.c.id))])
    for place in order:
        context.database.write(lambda tx, one=ids[place]: replan(context, tx, [one], EDITED))
    assert _said(_notices(context)) == said
    assert len(said) == 6
