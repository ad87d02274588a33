"""Plan files: TOML or JSON, one plan each, UTF-8, up to a megabyte.

Whatever is wrong with a file's content is a `PlanRefused`; its words never repeat the content.
"""

import codecs
import json
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, NoReturn

from reminders.plans import Known, PlanDocument, PlanRefused, Problem, read

MOST_BYTES = 1_000_000
_SUFFIXES = (".toml", ".json")


def plan_files(paths: Iterable[Path]) -> list[Path]:
    """The plan files meant by `paths`: a folder means its *.toml and *.json files by name, hidden ones left out.

    A path that is no folder is kept as it is, existing or not; none is named twice.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (
                file
                for file in path.iterdir()
                if file.suffix.lower() in _SUFFIXES and not file.name.startswith(".") and file.is_file()
            )
            found.extend(sorted(inside))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def read_file(path: Path, known: Known) -> PlanDocument:
    """The plan document in a file. PlanRefused for bad content; OSError, such as FileNotFoundError, for a bad path."""
    # A pipe would keep us waiting for the person who writes into it, so it is opened without waiting and then refused.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            _refuse("file", "is a folder, a pipe or a device, not a file")
        raw = file.read(MOST_BYTES + 1)
    return read_bytes(raw, path.name, known)


def read_bytes(raw: bytes, name: str, known: Known) -> PlanDocument:
    """The plan document in `raw`; the suffix of `name` tells TOML from JSON. PlanRefused for bad content."""
    suffix = PurePath(name).suffix.lower()
    if suffix not in _SUFFIXES:
        _refuse("file", "must be a .toml or .json file")
    if len(raw) > MOST_BYTES:
        _refuse("file", "is larger than a megabyte; a plan is a few kilobytes, so this is some other file")
    return read(read_json(raw) if suffix == ".json" else _parse_toml(_decode(raw)), known)


def read_json(raw: bytes) -> Mapping[str, Any]:
    """The JSON object in `raw`. PlanRefused for what is none, or names a key twice."""
    try:
        data = _parse_json(_decode(raw))
    except RecursionError:
        _refuse("file", "is nested too deeply to be a plan")
    if not isinstance(data, Mapping):
        _refuse("file", "must hold one plan as an object, { … }")
    return data


def _refuse(where: str, problem: str) -> NoReturn:
    raise PlanRefused([Problem(where, problem)]) from None


def _decode(raw: bytes) -> str:
    if not raw.strip():
        _refuse("file", "is empty")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or raw.count(b"\0") * 4 > len(raw):
        _refuse("file", "is in UTF-16; save it again as UTF-8")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        _refuse(f"line {line}", "is not in UTF-8, perhaps in Windows-1252 or Latin-1; save the file again as UTF-8")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        _refuse(f"line {line}", "contains a NUL character, so the file is damaged or not text; save it again as UTF-8")
    if not text.strip():
        _refuse("file", "is empty")
    return text


def _parse_toml(text: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        _refuse("file", "is nested too deeply to be a plan")
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = re.search(r"at line (\d+), column (\d+)\)$", said)
        if "date or datetime" in said:
            problem = "there is no such date or time"
        elif said.startswith(("Cannot", "Duplicate")):
            problem = "a key or a table is written twice"
        else:
            problem = "is not valid TOML; check quotes, brackets and the = sign here and just before"
        _refuse(f"line {place[1]}, column {place[2]}" if place else "end of file", problem)
    except ValueError:
        # The limit on digits, or a date tomllib lets through to datetime.
        _refuse("file", "contains a number or a date beyond all bounds")


def _parse_json(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        problem = "is not valid JSON; check quotes, commas and brackets here and just before"
        _refuse(f"line {error.lineno}, column {error.colno}", problem)
    except ValueError:
        _refuse("file", "contains a number with thousands of digits")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        _refuse("file", "a key is written twice in one object")
    return table


def _no_number(_: str) -> NoReturn:
    _refuse("file", "contains NaN or Infinity, which are no numbers of JSON")
