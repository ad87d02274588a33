"""The words of spreadsheets (`words.toml`): what columns, statuses, kinds and flags are called. Pure."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Any


@lru_cache(maxsize=65536)
def plain(text: str) -> str:
    """Words in small letters without accents and signs, one space between them, so that spellings compare."""
    folded = unicodedata.normalize(
        "NFKD", text[:400].replace("#", " no ").replace("'s ", " ").replace("\u2019s ", " ").replace("&", " and ")
    )
    kept = "".join(" " if one == "_" or not one.isalnum() else one for one in folded if not unicodedata.combining(one))
    return " ".join(kept.casefold().split())


def squeezed(text: str) -> str:
    """`plain` without spaces: `Appt. Date`, `appt_date` and `ApptDate` are one."""
    return plain(text).replace(" ", "") or re.sub(r"\s", "", text[:40])


@cache
def _words() -> Mapping[str, Any]:
    return tomllib.loads(resources.files("reminders.intake").joinpath("words.toml").read_text(encoding="utf-8"))


@cache
def meanings(table: str) -> Mapping[str, str]:
    """A table of words turned round: squeezed word → what it means."""
    return MappingProxyType({squeezed(word): means for means, words in _words()[table].items() for word in words})


@cache
def ranks(field: str) -> Mapping[str, int]:
    """The headers of one column by how good they are, 0 the best."""
    return MappingProxyType({squeezed(word): rank for rank, word in enumerate(_words()["columns"].get(field, ()))})


@cache
def not_the_patients() -> frozenset[tuple[str, str]]:
    """Pairs of headers, squeezed: beside the first, the second is not the patient's."""
    return frozenset((squeezed(one["with"]), squeezed(one["column"])) for one in _words()["not_the_patients"])
