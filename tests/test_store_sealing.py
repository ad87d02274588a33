"""Personal data is sealed (data rule 1)."""

import secrets

import pytest
from conftest import KEYS, NOW
from hypothesis import given
from hypothesis import strategies as st

from reminders import store
from reminders.store import people
from reminders.store.database.sealing import DataKey, Place, Ring, Unreadable, data_key_of, fingerprint, sealing_key_of

OLD, NEW = secrets.token_bytes(32), secrets.token_bytes(32)
PLACE = Place("numbers", "phone_sealed", 7)


@given(st.text(max_size=200))
def test_what_is_sealed_opens_and_does_not_show(text):
    ring, key = Ring({"a": OLD}), DataKey(5, NEW)
    assert ring.open(PLACE, ring.seal(PLACE, text.encode())).decode() == text
    sealed = key.seal(PLACE, text)
    assert key.open(PLACE, sealed) == text
    if len(text) > 3:
        assert text.encode() not in sealed
    assert key.seal(PLACE, text) != sealed  # a fresh nonce each time


@pytest.mark.parametrize(
    "other", [Place("numbers", "phone_sealed", 8), Place("patients", "phone_sealed", 7), Place("numbers", "other", 7)]
)
def test_a_value_moved_to_another_place_does_not_open(other):
    ring, key = Ring({"a": OLD}), DataKey(5, NEW)
    with pytest.raises(Unreadable):
        ring.open(other, ring.seal(PLACE, b"+12025550143"))
    with pytest.raises(Unreadable):
        key.open(other, key.seal(PLACE, "+12025550143"))


@given(st.integers(0, 200), st.integers(1, 255))
def test_an_altered_value_does_not_open(position, flip):
    ring = Ring({"a": OLD})
    sealed = bytearray(ring.seal(PLACE, b"somebody"))
    sealed[position % len(sealed)] ^= flip
    with pytest.raises(Unreadable):
        ring.open(PLACE, bytes(sealed))


def test_the_first_key_seals_and_all_open():
    before = Ring({"old": OLD}).seal(PLACE, b"x")
    ring = Ring({"new": NEW, "old": OLD})
    assert ring.open(PLACE, before) == b"x"
    assert sealing_key_of(before) == "old"
    assert sealing_key_of(ring.seal(PLACE, b"x")) == "new"
    assert data_key_of(before) is None


def test_a_missing_key_is_named_and_the_value_is_not():
    sealed = Ring({"old": OLD}).seal(PLACE, b"+12025550143")
    with pytest.raises(Unreadable, match="'old'") as refusal:
        Ring({"new": NEW}).open(PLACE, sealed)
    assert "0143" not in str(refusal.value)


def test_a_fingerprint_needs_its_key():
    assert fingerprint(OLD, "+12025550143") == fingerprint(OLD, "+12025550143")
    assert fingerprint(OLD, "+12025550143") != fingerprint(NEW, "+12025550143")
    assert fingerprint(OLD, "+12025550143") != fingerprint(OLD, "+12025550144")


def test_a_number_is_found_again_and_kept_sealed(database):
    first = database.write(lambda tx: people.keep_number(tx, "+12025550143", NOW))
    assert database.write(lambda tx: people.keep_number(tx, "+12025550143", NOW)) == first
    assert database.write(lambda tx: people.keep_number(tx, "+12025550144", NOW)) != first
    (row,) = database.read(lambda tx: list(people.lock_numbers(tx, [first]).values()))
    assert b"0143" not in row.phone_sealed
    assert database.read(lambda tx: people.phone_of(tx, row.id, row.phone_sealed)) == "+12025550143"


def test_f50_keys_rotate_online_and_the_old_one_can_go(database, database_url):
    numbers = [f"+1202555{number:04d}" for number in range(100, 130)]
    ids = [database.write(lambda tx, phone=phone: people.keep_number(tx, phone, NOW)) for phone in numbers]
    patient, _ = database.write(_patient)
    both = store.Database(database_url, Ring({"k2": NEW, **KEYS}))
    done = 0
    while some := both.write(lambda tx: people.rotate_keys(tx, 7)):
        assert some <= 7
        done += some
    assert done == len(numbers) + 2  # and the patient's data key, and the index key
    both.close()
    only_new = store.Database(database_url, Ring({"k2": NEW}))
    assert only_new.write(lambda tx: people.keep_number(tx, numbers[3], NOW)) == ids[3]
    row = only_new.read(lambda tx: people.patient_by_ref(tx, patient, "MRN-1"))
    assert only_new.read(lambda tx: people.open_name(tx, row.id, row.name_sealed)) == "Jordan Alvarez"
    only_new.close()


def _patient(tx):
    from reminders.settings import Settings

    site = people.keep_default_site(tx, Settings(), NOW)
    people.keep_patient(tx, site_id=site, ref="MRN-1", name="Jordan Alvarez", born_on=None, now=NOW)
    return site, None


def test_a_new_index_key_finds_every_number_and_keeps_its_stop(database):
    stopped = database.write(lambda tx: people.keep_number(tx, "+12025550143", NOW))
    database.write(lambda tx: people.mark_number(tx, stopped, opted_out_at=NOW))
    before = database.read(lambda tx: tx.fingerprint("+12025550143"))
    assert people.new_index_key(database, NOW) == 1
    assert database.read(lambda tx: tx.fingerprint("+12025550143")) != before
    assert database.write(lambda tx: people.keep_number(tx, "+12025550143", NOW)) == stopped
    (row,) = database.read(lambda tx: list(people.lock_numbers(tx, [stopped]).values()))
    assert row.opted_out_at == NOW


def test_a_process_with_the_old_index_key_learns_the_new_one(database, database_url):
    other = store.Database(database_url, Ring(KEYS))
    number = other.write(lambda tx: people.keep_number(tx, "+12025550143", NOW))
    people.new_index_key(database, NOW)
    assert other.write(lambda tx: people.keep_number(tx, "+12025550143", NOW)) == number
    other.close()


def test_an_erased_patient_does_not_open(database):
    site, _ = database.write(_patient)
    row = database.read(lambda tx: people.patient_by_ref(tx, site, "MRN-1"))
    key = database.read(lambda tx: tx.data_key(row.key_id))
    assert key.id == row.key_id
    database.data_keys.clear()
    from reminders.store.database.schema import keys as table

    def forget(tx):
        tx.run(table.update().where(table.c.id == row.key_id).values(wrapped=b"destroyed"))

    database.write(forget)
    with pytest.raises(Unreadable):
        database.read(lambda tx: people.open_name(tx, row.id, row.name_sealed))
