"""Two transactions at once, on separate connections, in the middle of a worker's claim.

`make simulate` takes turns between transactions and `make chaos` leaves their order to the machine; here the test
chooses it. The worker has read the due texts and has not written yet. Either it holds their locks, and anyone who would
change them waits, or it must notice the change: docs/design.md#states-and-moves and sending rule 6.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, logged, working
from people import document, one_off

from reminders import store
from reminders.service import AppContext, planning
from reminders.service.people import consents, reader_case
from reminders.service.planning import changes
from reminders.service.replies import inbound
from reminders.service.sending import final_check
from reminders.sms.receipts import InboundText
from reminders.store.database import schema

LEASE = timedelta(seconds=120)
DUE = [one_off("visit", "2026-11-30T12:00:00", leads=["3h"])]
LONG = 0.5  # seconds within which a call that does not have to wait is done


def claim(context, tx):
    """A worker's claim, not written yet."""
    return [one for sender in working(tx, NOW) for one in final_check.claim(context, tx, sender, 50, NOW)[1]]


@pytest.fixture
def other(context, database_url):
    """Another process on the same database."""
    database = store.Database(database_url, store.Ring(KEYS))
    yield AppContext(context.settings, context.secrets, database)
    database.close()


def accept(context):
    planning.accept(context, document(series=DUE), NOW, who="test")
    assert context.database.write(lambda tx: store.queue.mark_ready(tx, NOW)) == 1


def taken_meanwhile(context, meanwhile):
    """Claim, and begin `meanwhile` in between; returns the started texts, and whether `meanwhile` was done first."""
    done = threading.Event()

    def then():
        meanwhile()
        done.set()

    begun = []

    def work(tx):
        intents = claim(context, tx)
        if not begun:
            begun.append(elsewhere.submit(then))
        was_done = done.wait(LONG)
        return store.claims.start(tx, intents, NOW, LEASE), was_done

    with ThreadPoolExecutor(1) as elsewhere:
        result = context.database.write(work)
        begun[0].result(20)
    return result


def says_stop(context):
    stop = InboundText(sid="SM1", sender="+12025550143", to="+15005550006", body="STOP", opt_out_type=None, sent_at=NOW)
    inbound.take_in(context, stop, NOW)


def says_stop_by_voicemail(context):
    whom = reader_case.Whom("MRN-1")
    consents.record_opt_out(context, whom, NOW, how="voicemail", received_at=NOW, by="A. Reyes", who="test")


def calls_it_off(context):
    gone = [one_off("visit", "2026-11-30T12:00:00", leads=["3h"], status="cancelled")]
    planning.accept(context, document(series=gone), NOW, who="test")


def dies(context):
    changes.set_plan_status(context, "DC-1", "ended", NOW, who="test", because="died")


@pytest.mark.parametrize("event", [says_stop, says_stop_by_voicemail, calls_it_off, dies])
def test_rule_6_nothing_changes_a_text_between_its_claim_and_its_attempt(context, other, event):
    accept(context)
    (started,), was_done = taken_meanwhile(context, lambda: event(other))
    assert not was_done, "what holds at the commit is not what the claim was judged by"
    reminder = next(text for text in logged(context) if text.text == started.text)
    assert (reminder.state, len(reminder.attempts)) == ("sending", 1)


def test_rule_6_of_two_workers_that_look_at_once_one_takes_a_text_and_the_other_none(context, other):
    accept(context)
    got = []

    def take():
        got.extend(other.database.write(lambda tx: store.claims.start(tx, claim(other, tx), NOW, LEASE)))

    started, _ = taken_meanwhile(context, take)
    assert (len(started), len(got)) == (1, 0)
    assert context.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.attempts))) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rule_6_who_finds_everything_taken_does_not_wait(context, other):
    accept(context)
    _, was_done = taken_meanwhile(context, lambda: other.database.write(lambda tx: claim(other, tx)))
    assert was_done
