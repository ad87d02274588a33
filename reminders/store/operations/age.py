"""Files that only the holder of a key can open, in the format of age (age-encryption.org/v1), so that `age` opens them.

A recipient is `age1…`, which may stand in settings; the identity that opens is `AGE-SECRET-KEY-1…`, kept elsewhere.
X25519 wraps a key of the file's own; ChaCha20-Poly1305 seals it in pieces of 64 KiB, each bound to its place and the
last one to being last, so that a file which is cut off or changed does not open.
"""

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HEAD = b"age-encryption.org/v1\n"
_PIECE = 64 * 1024
_TAG = 16
_LONGEST_HEADER = 64 * 1024
_PUBLIC, _SECRET = "age", "age-secret-key-"
_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


class NotOpened(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """The file is none of age's, is damaged, or is for another key. The message says which."""


def new_pair() -> tuple[str, str]:
    """A new identity and the recipient that belongs to it."""
    key = X25519PrivateKey.generate()
    return _encoded(_SECRET, key.private_bytes_raw()).upper(), _encoded(_PUBLIC, key.public_key().public_bytes_raw())


def check_recipient(text: str) -> str:
    """The recipient as it is. ValueError where it is none."""
    _decoded(_PUBLIC, text)
    return text


def identities(text: str) -> list[str]:
    """The identities in a key file of age's; lines that begin with # are comments. ValueError where there is none."""
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    for line in found:
        _decoded(_SECRET, line)
    if not found:
        raise ValueError("holds no AGE-SECRET-KEY-1… line")
    return found


def is_sealed(file: Path) -> bool:
    """Whether a file is one of age's. Raises OSError."""
    with file.open("rb") as opened:
        return opened.read(len(HEAD)) == HEAD


def seal(source: Path, target: Path, recipients: Sequence[str]) -> None:
    """Write what is in `source` to `target`, for these recipients. Raises OSError, and ValueError for no recipient.

    What stands in the target is read again and compared with what was written, so that a bad disk is found now.
    """
    said = hashlib.sha256()
    with source.open("rb") as clear, target.open("wb") as sealed:
        for part in _sealed(clear, recipients):
            said.update(part)
            sealed.write(part)
        sealed.flush()
        os.fsync(sealed.fileno())
    with target.open("rb") as again:
        if hashlib.file_digest(again, "sha256").digest() != said.digest():
            raise OSError(5, "what was written does not read back")


def open_to(source: Path, target: Path, keys: Iterable[str]) -> None:
    """Write what is sealed in `source` to `target`. Raises NotOpened, OSError."""
    with source.open("rb") as sealed, target.open("wb") as clear:
        for part in _opened(sealed, list(keys)):
            clear.write(part)


def _sealed(clear: BinaryIO, recipients: Sequence[str]) -> Iterator[bytes]:
    if not recipients:
        raise ValueError("no recipient")
    file_key = secrets.token_bytes(16)
    header = HEAD + b"".join(_stanza(_decoded(_PUBLIC, one), file_key) for one in recipients) + b"---"
    yield header + b" " + _base64(_mac(file_key, header)) + b"\n"
    nonce = secrets.token_bytes(16)
    yield nonce
    cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    piece, place = clear.read(_PIECE), 0
    while True:
        following = clear.read(_PIECE)
        yield cipher.encrypt(_nonce(place, is_last=not following), piece, None)
        if not following:
            return
        piece, place = following, place + 1


def _stanza(recipient: bytes, file_key: bytes) -> bytes:
    once = X25519PrivateKey.generate()
    share = once.public_key().public_bytes_raw()
    wrapped = ChaCha20Poly1305(_wrap_key(once, recipient, share, recipient)).encrypt(bytes(12), file_key, None)
    return b"-> X25519 " + _base64(share) + b"\n" + _base64(wrapped) + b"\n"


def _opened(sealed: BinaryIO, keys: Sequence[str]) -> Iterator[bytes]:
    header, stanzas, mac = _header(sealed)
    file_key = _file_key(stanzas, keys)
    if not hmac.compare_digest(_mac(file_key, header), mac):
        raise NotOpened("its head was changed")
    cipher = ChaCha20Poly1305(_derived(file_key, sealed.read(16), b"payload"))
    piece, place = sealed.read(_PIECE + _TAG), 0
    while True:
        following = sealed.read(_PIECE + _TAG)
        try:
            yield cipher.decrypt(_nonce(place, is_last=not following), piece, None)
        except InvalidTag:
            raise NotOpened("it is damaged, or cut off") from None
        if not following:
            return
        piece, place = following, place + 1


def _header(sealed: BinaryIO) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """The head up to `---`, its X25519 stanzas as (share, wrapped key), and the MAC over it."""
    if sealed.read(len(HEAD)) != HEAD:
        raise NotOpened("it is none of age's")
    header, stanzas = HEAD, list[tuple[bytes, bytes]]()
    while len(header) < _LONGEST_HEADER:
        line = sealed.readline(256)
        if line.startswith(b"--- "):
            return header + b"---", stanzas, _unbase64(line[4:])
        header += line
        words = line.split()
        if words[:2] == [b"->", b"X25519"] and len(words) == 3:
            body = sealed.readline(256)
            header += body
            stanzas.append((_unbase64(words[2]), _unbase64(body)))
        elif not line:
            break
    raise NotOpened("its head does not end")


def _file_key(stanzas: Iterable[tuple[bytes, bytes]], keys: Sequence[str]) -> bytes:
    for text in keys:
        key = X25519PrivateKey.from_private_bytes(_decoded(_SECRET, text))
        public = key.public_key().public_bytes_raw()
        for share, wrapped in stanzas:
            try:
                return ChaCha20Poly1305(_wrap_key(key, share, share, public)).decrypt(bytes(12), wrapped, None)
            except (InvalidTag, ValueError):
                continue
    raise NotOpened("it is for another key")


def _wrap_key(own: X25519PrivateKey, other: bytes, share: bytes, recipient: bytes) -> bytes:
    shared = own.exchange(X25519PublicKey.from_public_bytes(other))
    return _derived(shared, share + recipient, b"age-encryption.org/v1/X25519")


def _derived(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, info).derive(key)


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.new(_derived(file_key, b"", b"header"), header, hashlib.sha256).digest()


def _nonce(place: int, *, is_last: bool) -> bytes:
    return place.to_bytes(11, "big") + bytes([is_last])


def _base64(value: bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=")


def _unbase64(text: bytes) -> bytes:
    text = text.strip()
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise NotOpened("its head is damaged") from None


# Bech32 (BIP 173), as age writes keys.


def _encoded(prefix: str, value: bytes) -> str:
    data = _regrouped(value, 8, 5)
    checked = _polymod([*_spread(prefix), *data, *[0] * 6]) ^ 1
    data += [checked >> 5 * (5 - place) & 31 for place in range(6)]
    return f"{prefix}1{''.join(_LETTERS[one] for one in data)}"


def _decoded(prefix: str, text: str) -> bytes:
    """The 32 bytes of a key. ValueError, which never repeats the key."""
    wanted = f"{prefix}1…" if prefix == _PUBLIC else f"{prefix.upper()}1…"
    found, _, letters = text.lower().rpartition("1")
    if (text not in {text.lower(), text.upper()}) or found != prefix or not set(letters) <= set(_LETTERS):
        msg = f"is no key of age's: it begins with {wanted}"
        raise ValueError(msg)
    data = [_LETTERS.index(one) for one in letters]
    if _polymod([*_spread(prefix), *data]) != 1:
        msg = f"is no key of age's ({wanted}): a letter is wrong or missing"
        raise ValueError(msg)
    value = bytes(_regrouped(data[:-6], 5, 8))
    if len(value) != 32:
        msg = f"is no X25519 key of age's ({wanted}): it is of another length"
        raise ValueError(msg)
    return value


def _spread(prefix: str) -> list[int]:
    return [*(ord(one) >> 5 for one in prefix), 0, *(ord(one) & 31 for one in prefix)]


def _polymod(values: Iterable[int]) -> int:
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for place, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> place & 1 else 0
    return check


def _regrouped(values: Iterable[int], old: int, new: int) -> list[int]:
    """Bits in groups of another size; only what fills up the last group of five is added."""
    held, bits, found = 0, 0, []
    for value in values:
        held, bits = held << old | value, bits + old
        while bits >= new:
            bits -= new
            found.append(held >> bits & (1 << new) - 1)
    if new == 5 and bits:
        found.append(held << new - bits & 31)
    return found
