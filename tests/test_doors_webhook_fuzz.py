"""Requests derived from a correctly signed one: bytes moved between names and values, names doubled, other encodings.

Only a request with exactly the signed parameters changes state. `make fuzz` runs it longer.
"""

import os
from urllib.parse import parse_qsl, quote, quote_plus

import pytest
import sqlalchemy as sa
from conftest import open_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_doors_webhooks import inbound, status
from web_caller import Caller, signature

from reminders.sms.receipts import is_legal
from reminders.store.database import schema

EXAMPLES = int(os.environ.get("FUZZ", "1")) * 40

# What Twilio documents of texts beside what our forms hold (its webhook reference and its OpenAPI of Messages).
DOCUMENTED = {
    "inbound": ("ChannelMetadata", "MediaContentType0", "MediaUrl0", "OptOutType"),
    "status": ("ChannelInstallSid", "ChannelPrefix", "ChannelStatusMessage", "EventType", "MessageStatusReason"),
}
VALUES = st.one_of(st.sampled_from(["", "START", "STOP", "0", "1", "STARTSTOP", "delivered"]), st.text(max_size=12))


@pytest.fixture(scope="module")
def door(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "reminders.db").write_bytes(sqlite_template.read_bytes())
    context = open_context(f"sqlite:///{folder / 'reminders.db'}", folder)
    yield Caller(context)
    context.close()


@st.composite
def signed_forms(draw):
    """A form as Twilio sends it, with some other documented parameters; and its path."""
    of = draw(st.sampled_from(["inbound", "status"]))
    form = inbound(draw(VALUES)) if of == "inbound" else status(draw(st.sampled_from(["sent", "failed", "delivered"])))
    for name in draw(st.lists(st.sampled_from(DOCUMENTED[of]), unique=True, max_size=3)):
        form[name] = draw(st.sampled_from(["STOP", "START", "HELP"])) if name == "OptOutType" else draw(VALUES)
    return ("/sms/inbound" if of == "inbound" else "/sms/status/some-ref"), list(form.items())


def moved(draw, pairs):
    """Move bytes of a name or value into the next; use a form with the same signature if there is one."""
    words = [word for pair in sorted(pairs) for word in pair]
    found = [
        [*words[:place], joined[:cut], joined[cut:], *words[place + 2 :]]
        for place in range(len(words) - 1)
        for joined, end in [(words[place] + words[place + 1], len(words[place]))]
        for cut in range(max(0, end - 6), min(len(joined), end + 6) + 1)
        if cut != end
    ]
    forms = [list(zip(one[::2], one[1::2], strict=True)) for one in found]
    signed = "".join(words)
    alike = [form for form in forms if "".join(map("".join, sorted(set(form)))) == signed]
    return draw(st.sampled_from(alike or forms))


def doubled(draw, pairs):
    """A name comes twice, with the same value or another."""
    name, value = draw(st.sampled_from(pairs))
    again = (name, draw(st.one_of(st.just(value), VALUES)))
    place = draw(st.integers(0, len(pairs)))
    return [*pairs[:place], again, *pairs[place:]]


def changed(draw, pairs):
    """Another value, a name gone, a name more."""
    place = draw(st.integers(0, len(pairs) - 1))
    name, _ = pairs[place]
    instead = draw(
        st.sampled_from([[(name, draw(VALUES))], [], [pairs[place], ("Body2", "STOP")], [(name.lower(), "x")]])
    )
    return [*pairs[:place], *instead, *pairs[place + 1 :]]


def reordered(draw, pairs):
    """The same pairs in another order."""
    return draw(st.permutations(pairs))


def encoded(draw, pairs) -> bytes:
    """The pairs as a body, in one of the encodings that forms have or are given."""
    how = draw(st.sampled_from(["plus", "plus", "plus", "percent", "lower", "raw", "latin", "semicolon", "ampersands"]))
    write = {
        "percent": lambda word: quote(word, safe=""),
        "lower": lambda word: quote(word, safe="").lower(),
        "raw": lambda word: quote(word, safe="!*'()~+ "),
        "latin": lambda word: quote_plus(word, encoding="utf-16"),
    }
    put = write.get(how, quote_plus)
    between = {"semicolon": ";", "ampersands": "&&"}.get(how, "&")
    return between.join(f"{put(name)}={put(value)}" for name, value in pairs).encode("utf-8", "surrogatepass")


def kept(caller) -> list[tuple]:
    """Everything that a webhook may change."""
    tables = (schema.replies, schema.receipts, schema.texts, schema.tasks, schema.numbers)
    return caller.context.database.read(
        lambda tx: [tuple(row) for table in tables for row in tx.all(sa.select(table).order_by(table.c.id))]
    )


@pytest.mark.timeout(120 + EXAMPLES)  # a long one is to end by itself
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data(), form=signed_forms())
def test_s2_no_request_made_out_of_a_signed_one_changes_anything(door, data, form):
    path, pairs = form
    signed = signature(door.context.settings.web.public_url + path, pairs)
    forged = list(pairs)
    several = st.lists(st.sampled_from([moved, doubled, changed, reordered]), min_size=1, max_size=3)
    # Only moved bytes keep the signature valid; the others usually do not.
    for change in data.draw(st.one_of(st.just([moved]), st.just([moved, reordered]), several)):
        if forged:
            forged = change(data.draw, forged)
    body = encoded(data.draw, forged)
    try:
        read = parse_qsl(body.decode(), keep_blank_values=True)
    except ValueError:
        read = None
    before = kept(door)
    answer = door.post(path, body, signed)
    if read is None or sorted(read) != sorted(pairs):
        assert answer.status_code in {400, 403, 413}, (answer.status_code, forged)
        assert kept(door) == before
    else:
        legal = is_legal(
            read, account_sid=door.context.secrets.account_sid, of="inbound" if "inbound" in path else "status"
        )
        assert (answer.status_code in {200, 204}) is legal  # as it was signed, in whichever order and encoding


def test_s2_what_twilio_documents_is_taken(door):
    for of, path, form in (("inbound", "/sms/inbound", inbound("hello")), ("status", "/sms/status/x", status())):
        more = {name: "1" for name in DOCUMENTED[of] if name not in {"OptOutType", "MediaUrl0", "MediaContentType0"}}
        assert door.twilio(path, **form, **more).status_code in {200, 204}
