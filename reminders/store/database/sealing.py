"""Personal data is sealed before it reaches a table (data rule 1): AES-256-GCM, bound to its place, key ids inside.

Two kinds of keys seal. The *sealing keys* come from the environment; they seal what belongs to no single patient
(phone numbers, replies) and wrap the *data keys*, one for each patient, which seal everything about that patient.
Destroying a patient's data key erases the patient. A sealed value carries the id of its key and is bound to
table|column|row id, so a value copied into another row does not open.

Phones are found by fingerprint: HMAC-SHA-256 with a random index key that lives wrapped in the `keys` table.
"""

import hashlib
import hmac
import secrets
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_BY_SEALING_KEY = b"\x01"
_BY_DATA_KEY = b"\x02"
_NONCE = 12


class Unreadable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """A sealed value does not open: wrong key, wrong place, or altered. The message names ids only."""


class Place(NamedTuple):
    """Where a sealed value stands. Part of the seal."""

    table: str
    column: str
    row: int

    @property
    def bound(self) -> bytes:
        """The associated data of the seal."""
        return f"{self.table}|{self.column}|{self.row}".encode()


class DataKey:
    """A key that seals everything about one patient; `id` is its row in `keys`."""

    __slots__ = ("_cipher", "_header", "id")

    def __init__(self, key_id: int, key: bytes) -> None:
        self.id = key_id
        self._cipher = AESGCM(key)
        self._header = _BY_DATA_KEY + struct.pack(">q", key_id)

    def seal(self, place: Place, text: str) -> bytes:
        """Seal `text` for `place`."""
        nonce = secrets.token_bytes(_NONCE)
        return self._header + nonce + self._cipher.encrypt(nonce, text.encode(), place.bound)

    def open(self, place: Place, sealed: bytes) -> str:
        """What `seal` was given. Raises Unreadable."""
        if data_key_of(sealed) != self.id:
            msg = f"{place.table}.{place.column} of row {place.row} is sealed by another data key"
            raise Unreadable(msg)
        body = sealed[9:]
        try:
            return self._cipher.decrypt(body[:_NONCE], body[_NONCE:], place.bound).decode()
        except InvalidTag:
            msg = f"{place.table}.{place.column} of row {place.row} does not open"
            raise Unreadable(msg) from None


def data_key_of(sealed: bytes) -> int | None:
    """The id of the data key that sealed this value, or None where a sealing key did."""
    if sealed[:1] != _BY_DATA_KEY or len(sealed) < 9 + _NONCE:
        return None
    key_id: int = struct.unpack(">q", sealed[1:9])[0]
    return key_id


class Ring:
    """The sealing keys: the first seals, all open."""

    def __init__(self, sealing_keys: Mapping[str, bytes]) -> None:
        self._ciphers = {key_id: AESGCM(key) for key_id, key in sealing_keys.items()}
        self._marks = {key_id: fingerprint(key, key_id).hex()[:16] for key_id, key in sealing_keys.items()}
        self.first = next(iter(sealing_keys))

    def __iter__(self) -> Iterator[str]:
        return iter(self._ciphers)

    def announced(self) -> dict[str, str]:
        """The keys as others may know them, the first one first: id → a check value, which tells nothing of the key."""
        return dict(self._marks)

    def seal(self, place: Place, value: bytes) -> bytes:
        """Seal `value` for `place` with the first key."""
        key_id = self.first.encode()
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._ciphers[self.first].encrypt(nonce, value, place.bound)
        return _BY_SEALING_KEY + bytes([len(key_id)]) + key_id + nonce + sealed

    def open(self, place: Place, sealed: bytes) -> bytes:
        """What `seal` was given. Raises Unreadable, naming the key that is missing."""
        key_id = sealing_key_of(sealed)
        cipher = self._ciphers.get(key_id or "")
        if key_id is None or cipher is None:
            msg = (
                f"{place.table}.{place.column} of row {place.row} needs the sealing key {key_id!r}, which is not given"
            )
            raise Unreadable(msg)
        body = sealed[2 + sealed[1] :]
        try:
            return cipher.decrypt(body[:_NONCE], body[_NONCE:], place.bound)
        except InvalidTag:
            msg = f"{place.table}.{place.column} of row {place.row} does not open with sealing key {key_id!r}"
            raise Unreadable(msg) from None

    def new_data_key(self, key_id: int) -> tuple[DataKey, bytes]:
        """A fresh data key for the `keys` row `key_id`, and its wrapping to store there."""
        key = secrets.token_bytes(32)
        return DataKey(key_id, key), self.seal(Place("keys", "wrapped", key_id), key)

    def unwrap(self, key_id: int, wrapped: bytes) -> bytes:
        """The key inside the `keys` row `key_id`."""
        return self.open(Place("keys", "wrapped", key_id), wrapped)


def sealing_key_of(sealed: bytes) -> str | None:
    """The id of the sealing key that sealed this value, or None where a data key did."""
    if sealed[:1] != _BY_SEALING_KEY or len(sealed) < 2 + _NONCE:
        return None
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")


def padded(text: str, size: int) -> str:
    """`text` with spaces after it, up to a multiple of `size`: a seal is as long as what it holds, which would tell."""
    return text + " " * (-len(text.encode()) % size)


def fingerprint(index_key: bytes, value: str) -> bytes:
    """The keyed fingerprint by which an E.164 number is found. Equal numbers only."""
    return hmac.new(index_key, value.encode(), hashlib.sha256).digest()
