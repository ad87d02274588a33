"""What people text to us. STOP and START are honoured here, in the transaction that stores them."""

from datetime import datetime

from reminders import conversation, store
from reminders.conversation import Meaning
from reminders.service.house import House
from reminders.service.planning import replan
from reminders.sms.receipts import InboundText


def take_in(house: House, text: InboundText, now: datetime) -> Meaning:
    """Store one inbound text and do what it asks for; what it means.

    STOP takes every queued text of the number out of the queue, whoever it was for and whatever it was about (L-16);
    only START from that phone puts them back, by planning anew: the same rows come to life. A text that Twilio brings
    twice is taken in once. Raises Unavailable.
    """
    meaning = conversation.understand(text.body)
    if text.opt_out_type == "STOP":  # Advanced Opt-Out knows words of its own: what Twilio blocks, we stop
        meaning = Meaning.STOP
    elif text.opt_out_type == "START":
        meaning = Meaning.START

    def work(tx: store.Transaction) -> None:
        number_id = store.people.keep_number(tx, text.sender, now)
        theirs = store.people.patients_on(tx, number_id)
        # All numbers of all of them at once and in order: planning anew will want them.
        number = store.people.lock_numbers(tx, [number_id, *store.people.numbers_of(tx, theirs)])[number_id]
        fresh = store.records.keep_reply(
            tx, sid=text.sid, number_id=number_id, sent_to=text.to, body=text.body, meaning=meaning.value, now=now
        )
        if not fresh:
            return
        if meaning is Meaning.STOP and number.opted_out_at is None:
            store.people.mark_number(tx, number_id, opted_out_at=now)
        elif meaning is Meaning.START and number.opted_out_at is not None:
            store.people.mark_number(tx, number_id, opted_out_at=None)
        else:
            return
        replan(house, tx, theirs, now)
        if meaning is Meaning.STOP:
            # Also what reconcile leaves alone: texts that were tried and wait to be tried again.
            store.texts.suppress_queued(tx, number_id, "opted_out")
        store.records.note(tx, who="the phone", what=f"number {meaning.value}", table="numbers", row=number_id, now=now)

    house.database.write(work, again=True)
    return meaning
