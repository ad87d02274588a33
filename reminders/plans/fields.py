"""How each type of value in a plan document is read.

There is one function for each type. It takes any TOML or JSON value and returns the checked value, or raises
UnfitError. The message never repeats the value, which may be someone's name in the wrong field.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Annotated, Any

import phonenumbers
from phonenumbers import timezone
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, WithJsonSchema

from reminders.plans.kinds import Category, Kind, Mode
from reminders.plans.leads import Lead
from reminders.plans.walltime import is_place, is_zone, place_of, zones


class UnfitError(ValueError):
    """A value does not fit its field. The message says why, in words for a coordinator, without repeating it."""


class Section(BaseModel):
    """One table of a plan document. Its `repr` shows no values, to keep people out of log lines (promise 5)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:  # ruff: ignore[bad-dunder-method-name]  pydantic calls it
        return []


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known when a document is read.

    `today` is the site's date; `languages` the codes of the available catalogs; `region` the ISO 3166 country whose
    phone format is assumed; `zone` and `site` the defaults; `sites` every site's key; `fictional_numbers` whether
    numbers reserved for fiction and tests are accepted; `countries` (ISO 3166) those whose numbers may be texted, empty
    for all; `ours` our own lines (E.164), which belong to no patient. `accepted` says that the document was accepted
    before: a setting that has since become stricter does not stop its reminders.
    """

    today: date
    languages: frozenset[str]
    region: str = "US"
    zone: str
    site: str
    sites: frozenset[str]
    fictional_numbers: bool
    countries: frozenset[str] = frozenset()
    ours: frozenset[str] = frozenset()
    accepted: bool = False


def closest(word: str, choices: Iterable[str]) -> str:
    """`; did you mean …?` for the choice nearest to `word` in spelling, or nothing."""
    folded = {choice.casefold(): choice for choice in choices}
    near = get_close_matches(word[:64].casefold().strip(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def one_of(word: object, choices: Collection[str]) -> str:
    """`word` if it is one of `choices`, exactly."""
    offered = ", ".join(sorted(choices))
    if not isinstance(word, str):
        raise UnfitError(f"must be text in quotes, one of {offered}")
    if word not in choices:
        raise UnfitError(f"must be one of {offered}{closest(word, choices)}")
    return word


def choice(*choices: str) -> BeforeValidator:
    """A field that holds one of `choices`."""
    return BeforeValidator(lambda word: one_of(word, choices))


def _text(longest: int) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str):
            raise UnfitError("must be text; put it in quotes")
        text = unicodedata.normalize("NFC", value[: longest * 4]).strip()
        if not text:
            raise UnfitError("is empty")
        if len(text) > longest:
            raise UnfitError(f"is longer than {longest} characters")
        # Bidirectional overrides make a page show characters in another order than they are stored.
        if any(
            unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or c in "\u202a\u202b\u202c\u202d\u202e" for c in text
        ):
            raise UnfitError("contains a line break or a control character")
        return text

    return read


def _ref(value: object) -> str:
    if isinstance(value, (int, float, date, time)) and not isinstance(value, bool):
        raise UnfitError("must be text; put it in quotes, so that 007 stays 007")
    text = _text(64)(value)
    # An invisible character would make it another patient's reference.
    if not text.isprintable() or _INVISIBLE.search(text):
        raise UnfitError("contains a character that cannot be printed")
    return text


def _name(value: object) -> str:
    # Direction marks are refused below or shown visibly (SEC-16); joiners belong to some names.
    kept = "\u200c\u200d\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return _text(200)(without_invisible(value[:1000], keep=kept) if isinstance(value, str) else value)


def _day(value: object) -> date:
    if isinstance(value, datetime):
        raise UnfitError("must be a date without a time, such as 2026-12-01")
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value.strip()):
            raise UnfitError("must be a date written year-month-day, such as 2026-12-01")
        try:
            value = date.fromisoformat(value.strip())
        except ValueError:
            raise UnfitError("there is no such date") from None
    if not isinstance(value, date):
        raise UnfitError("must be a date, such as 2026-12-01")
    if not 1900 <= value.year <= 2199:
        raise UnfitError("is outside the years 1900 to 2199; check the year")
    return value


def _wall(value: object) -> datetime:
    wall = _wall_text(value.strip()) if isinstance(value, str) else value
    if isinstance(wall, date) and not isinstance(wall, datetime):
        raise UnfitError("needs a time of day too, such as 2026-12-03T15:00")
    if not isinstance(wall, datetime):
        raise UnfitError("must be a date and a time, such as 2026-12-03T15:00")
    if wall.tzinfo is not None:
        raise UnfitError("give the wall clock of the place without an offset, and its time zone as `zone`")
    if wall.microsecond:
        raise UnfitError("must be in whole seconds")
    if not 2000 <= wall.year <= 2199:
        raise UnfitError("is outside the years 2000 to 2199; check the year")
    return wall


_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"


def _wall_text(text: str) -> date:
    if not re.fullmatch(f"{_DAY}([Tt ]{_CLOCK})?", text):
        raise UnfitError("must be a date and a time, such as 2026-12-03T15:00")
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text.upper())
    except ValueError:
        raise UnfitError("there is no such date or time") from None


def _minute(value: object) -> datetime:
    return _wall(value).replace(second=0)


def _moves(value: object) -> object:
    if isinstance(value, Mapping):
        if len(value) > 1000:
            raise UnfitError("names more than 1000")
        spelled = [key.strip().upper().replace(" ", "T")[:16] for key in value if isinstance(key, str)]
        if len(set(spelled)) < len(spelled):
            raise UnfitError("names the same date and time twice")
    return value


def _time_of_day(value: object) -> time:
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})(?::00)?", value.strip())
        if not match or int(match[1]) > 23 or int(match[2]) > 59:
            raise UnfitError("must be a time of day from 00:00 to 23:59, such as 17:30")
        return time(int(match[1]), int(match[2]))
    if not isinstance(value, time):
        raise UnfitError('must be a time of day in quotes, such as "17:30"')
    if value.second or value.microsecond or value.tzinfo:
        raise UnfitError("must be a time of day in whole minutes, such as 17:30")
    return value


def whole_number(lowest: int, highest: int) -> BeforeValidator:
    """A field that holds a whole number from `lowest` to `highest`; true and 3.0 are refused."""

    def read(value: object) -> int:
        if type(value) is not int or not lowest <= value <= highest:
            raise UnfitError(f"must be a whole number from {lowest} to {highest}, without quotes")
        return value

    return BeforeValidator(read)


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise UnfitError("must be true or false, without quotes")
    return value


def read_zone(value: object) -> str:
    """The IANA zone of a place. Raises UnfitError for anything else, with the likely place if there is one."""
    if not isinstance(value, str):
        raise UnfitError('must be a time zone in quotes, such as "America/New_York"')
    if is_place(value):
        return value
    if (place := place_of(value)) is not None:
        raise UnfitError(f'is not a place, so its clock can be an hour off; name the place, perhaps "{place}"')
    if is_zone(value):
        raise UnfitError(
            'is not a place, so its clock is not the one on the wall; name the place, such as "America/New_York"'
        )
    word = value[:64].strip().replace(" ", "_").casefold()
    folded = {name.casefold(): name for name in zones() if is_place(name)}
    cities = {name.rpartition("/")[2]: name for name in sorted(folded, reverse=True)}  # America before US
    near = [folded[cities[city]] for city in get_close_matches(word, cities, n=3, cutoff=0.8)]
    near += [folded[name] for name in get_close_matches(word, folded, n=3)]
    offered = ", ".join(dict.fromkeys(near)) or "America/New_York, America/Chicago, America/Denver, America/Los_Angeles"
    raise UnfitError(f"is not an IANA time zone; perhaps {offered}")


def _zone(value: object, info: ValidationInfo) -> str:
    if isinstance(info.context, Known) and info.context.accepted and isinstance(value, str) and is_zone(value):
        return value
    return read_zone(value)


def catalog(tag: str) -> str:
    """The code of the catalog that serves a BCP 47 language tag: its primary language, so `es-MX` gives `es`."""
    return tag.partition("-")[0].lower()


def _language(value: object, info: ValidationInfo) -> str:
    languages: frozenset[str] = info.context.languages if isinstance(info.context, Known) else frozenset()
    offered = ", ".join(sorted(languages))
    if not isinstance(value, str):
        raise UnfitError(f"must be a language tag in quotes, one of {offered}")
    tag = value.strip()
    well_formed = re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8}){0,7}", tag)
    if not well_formed or catalog(tag) not in languages:
        raise UnfitError(
            f"there are no texts in this language; choose one of {offered}, alone or with a region as in es-MX"
        )
    return tag


MOST_GUESSES = 3  # a number with more possible zones says nothing about where its owner is


def other_zones(e164: str, zone: str) -> list[str]:
    """The time zones of its area code, if there are few and `zone` is not among them (L-23)."""
    guessed = timezone.time_zones_for_number(phonenumbers.parse(e164))
    found = [name for name in guessed if is_zone(name)]
    return found if len(found) <= MOST_GUESSES and zone not in found else []


def region_of(e164: str) -> str:
    """The ISO 3166 code of a number's country; empty if it belongs to no country."""
    return phonenumbers.region_code_for_number(phonenumbers.parse(e164)) or ""


def is_fictional(e164: str) -> bool:
    """Whether no one has this number: 555-0100 … 555-0199 in any North American area code, or Twilio's +1500555xxxx."""
    return bool(re.fullmatch(r"\+1(?:[2-9][0-9]{2}55501[0-9]{2}|500555[0-9]{4})", e164))


_WHY_IMPOSSIBLE = {
    phonenumbers.ValidationResult.TOO_SHORT: "is too short for a phone number",
    phonenumbers.ValidationResult.TOO_LONG: "is too long for a phone number",
    phonenumbers.ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "lacks its area code",
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "has a country code that does not exist",
}


_TYPES = phonenumbers.PhoneNumberType
_NEVER_TEXTED = {
    _TYPES.PREMIUM_RATE: "is a premium-rate number",
    _TYPES.SHARED_COST: "is a shared-cost number",
    _TYPES.TOLL_FREE: "is a toll-free number, the line of an office",
    _TYPES.UAN: "is the number of a company",
    _TYPES.PAGER: "is a pager",
    _TYPES.VOICEMAIL: "is a voicemail box",
    _TYPES.PERSONAL_NUMBER: "is a forwarding number, which can cost its caller more",
}
# These exist in every North American area code, and libphonenumber takes them for ordinary lines.
_NOT_A_PERSONS = (
    (re.compile(r"\+1[0-9]{3}976[0-9]{4}"), "is a premium-rate number"),
    (re.compile(r"\+1[0-9]{3}5551212"), "is directory assistance"),
)


def _any_phone(value: object, info: ValidationInfo) -> str:
    """Any phone number, as E.164: to look up, or to call."""
    if not isinstance(info.context, Known):
        raise TypeError("documents are read with `read`, which knows the region")
    if not isinstance(value, str):
        raise UnfitError('must be text; put the number in quotes, such as "+1 202 555 0143"')
    typed = without_invisible(value)
    number = _phone_number(typed, info.context.region)
    if not info.context.accepted and _lacks_country_code(typed, number, info.context.region):
        own, code = phonenumbers.country_code_for_region(info.context.region), number.country_code
        there = region_of(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
        raise UnfitError(
            f"can be read two ways: as a number in +{code}{f' ({there})' if there else ''}, or as one in"
            f" {info.context.region} without its country code; write +{own} before a number in {info.context.region},"
            f" or +{code} and a space before the other"
        )
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if is_fictional(e164):
        if not info.context.fictional_numbers:
            raise UnfitError("is a number reserved for fiction and tests; give the real one")
        return e164
    possible = phonenumbers.is_possible_number_with_reason(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise UnfitError(_WHY_IMPOSSIBLE.get(possible, "has the wrong number of digits for a phone number"))
    if not phonenumbers.is_valid_number(number):
        raise UnfitError("is not a number that is in use anywhere; check the digits")
    return e164


def _phone(value: object, info: ValidationInfo) -> str:
    """The number of a person to text, as E.164: never one of ours, and never one that costs its caller more."""
    e164 = _any_phone(value, info)
    if isinstance(info.context, Known) and not info.context.accepted:
        _check_texted(e164, info.context)
    return e164


def _check_texted(e164: str, known: Known) -> None:
    """Raise UnfitError for a number that is not a person's, or is in a country that we do not text."""
    if e164 in known.ours:
        raise UnfitError("is our own number; give the person's")
    kind = phonenumbers.number_type(phonenumbers.parse(e164))
    why = _NEVER_TEXTED.get(kind) or next((why for those, why in _NOT_A_PERSONS if those.fullmatch(e164)), None)
    # Twilio's test numbers are in an area code of forwarding numbers.
    if why is not None and not (kind == _TYPES.PERSONAL_NUMBER and is_fictional(e164)):
        raise UnfitError(f"{why}; give a mobile number of the person's own")
    region = region_of(e164)
    if region == "001":
        raise UnfitError("belongs to no country, as satellite phones do; give a mobile number of the person's own")
    # 555-01xx belongs to no one in any area code: a demo may use them all, and live use has refused them above.
    if known.countries and region and not is_fictional(e164) and region not in known.countries:
        offered = ", ".join(sorted(known.countries))
        raise UnfitError(f"is a number in {region}, and texts go to {offered} only (sending.countries)")


# Unicode's default-ignorable code points that have no category of their own, and the enclosing keycap.
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20e3\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)


def without_invisible(text: str, *, keep: str = "") -> str:
    """A short text without invisible characters, except those in `keep`, and without surrounding space."""
    seen = _INVISIBLE.sub("", text[:1000])
    return "".join(one for one in seen if one in keep or unicodedata.category(one) != "Cf").strip()


def _lacks_country_code(typed: str, number: phonenumbers.PhoneNumber, region: str) -> bool:
    """Whether the digits after a + could also be a number in the region: +479 555 0143 is in Norway, or in Arkansas.

    A break right after the country code shows that it is one.
    """
    own = phonenumbers.country_code_for_region(region)
    match = re.match(r"[\s(]*[+\uff0b]\s*(.*)", typed, re.DOTALL)
    if match is None or number.country_code == own:
        return False
    if re.match(rf"{number.country_code}(?!\d)", unicodedata.normalize("NFKC", match[1])):
        return False
    try:
        bare = phonenumbers.parse(match[1], region)
    except phonenumbers.NumberParseException:
        return False
    return bare.country_code == own and phonenumbers.is_valid_number(bare)


def _phone_number(text: str, region: str) -> phonenumbers.PhoneNumber:
    if len(text) > 64:
        raise UnfitError("is too long for a phone number")
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException as error:
        too_long = error.error_type == phonenumbers.NumberParseException.TOO_LONG
        raise UnfitError("is too long for a phone number" if too_long else "is not a phone number") from None
    # Parsing alone would silently drop the extension (I-4).
    if number.extension:
        raise UnfitError("has an extension; a text cannot reach one, so give a number of its own")
    if any(character.isalpha() for character in text):
        raise UnfitError("contains letters; give the digits")
    return number


def _kind(value: object) -> Kind:
    return Kind(one_of(value, [kind.value for kind in Kind]))


def _mode(value: object) -> Mode:
    return Mode(one_of(value, [mode.value for mode in Mode]))


def _category(value: object) -> Category:
    return Category(one_of(value, [category.value for category in Category]))


def _lead(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitError('must be text in quotes, such as "1d@17:00" or "2h"')
    return str(Lead.parse(value))


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(values) > 1000:
        raise UnfitError("names more than 1000")
    if len(set(values)) < len(values):
        raise UnfitError("names the same thing twice")
    return values


def _some(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if not values:
        raise UnfitError("must name at least one; leave it out for the default")
    return _distinct(values)


def _described(**words: Any) -> WithJsonSchema:
    """The JSON Schema of a field that holds text."""
    return WithJsonSchema({"type": "string", **words})


_WALL_CLOCK = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?$"

Ref = Annotated[str, BeforeValidator(_ref), _described(minLength=1, maxLength=64)]
Name = Annotated[str, BeforeValidator(_name), _described(minLength=1, maxLength=200)]
Remark = Annotated[str, BeforeValidator(_text(500)), _described(minLength=1, maxLength=500)]
Day = Annotated[date, BeforeValidator(_day)]
Wall = Annotated[
    datetime, BeforeValidator(_wall), _described(pattern=_WALL_CLOCK, description="A wall clock, without an offset")
]
WallMinute = Annotated[datetime, BeforeValidator(_minute)]
Moves = Annotated[dict[WallMinute, Wall], BeforeValidator(_moves)]
TimeOfDay = Annotated[time, BeforeValidator(_time_of_day), _described(pattern="^[0-9]{1,2}:[0-9]{2}(:00)?$")]
Zone = Annotated[str, BeforeValidator(_zone), _described(description="An IANA time zone")]
Language = Annotated[str, BeforeValidator(_language), _described(description="A BCP 47 language tag")]
AnyPhone = Annotated[str, BeforeValidator(_any_phone), _described(maxLength=64, description="A phone number")]
Phone = Annotated[str, BeforeValidator(_phone), _described(maxLength=64, description="A phone number in any format")]
Flag = Annotated[bool, BeforeValidator(_yes_or_no)]
KindName = Annotated[Kind, BeforeValidator(_kind)]
ModeName = Annotated[Mode, BeforeValidator(_mode)]
CategoryName = Annotated[Category, BeforeValidator(_category)]
LeadText = Annotated[str, BeforeValidator(_lead), _described(description="1d@17:00, 2h, 30m …")]
Distinct = AfterValidator(_distinct)
Some = AfterValidator(_some)
