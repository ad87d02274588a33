"""Lookup v2, as far as texting needs it: whether a number is valid, its line type, whether it was reassigned
(docs/twilio.md 6, 10.13).
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import phonenumbers

LineType = Literal[
    "landline",
    "mobile",
    "fixedVoip",
    "nonFixedVoip",
    "personal",
    "tollFree",
    "premium",
    "sharedCost",
    "uan",
    "voicemail",
    "pager",
    "unknown",
]
LineStatus = Literal["active", "reachable", "unreachable", "inactive", "unknown"]
Reassigned = Literal["yes", "no", "no_data_available"]

# The packages of Lookup v2, in the order of its answer; those without data here stay null.
PACKAGES = (
    "caller_name",
    "sim_swap",
    "call_forwarding",
    "line_status",
    "line_type_intelligence",
    "identity_match",
    "reassigned_number",
    "sms_pumping_risk",
    "phone_number_quality_score",
    "pre_fill",
)
FIELDS = frozenset({"validation", *PACKAGES})

_REASONS = {
    phonenumbers.ValidationResult.TOO_SHORT: "TOO_SHORT",
    phonenumbers.ValidationResult.TOO_LONG: "TOO_LONG",
    phonenumbers.ValidationResult.INVALID_COUNTRY_CODE: "INVALID_COUNTRY_CODE",
    phonenumbers.ValidationResult.INVALID_LENGTH: "INVALID_LENGTH",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneFacts:
    """What is known about a pretend phone.

    Unless a rule says otherwise, a text to a landline ends undelivered with 30006, and one to a phone whose line is
    unreachable (it is switched off) with 30003.

    `lookup_error`: the packages return that code instead of an answer, as for Canadian numbers without access (60601).
    """

    line_type: LineType = "mobile"
    carrier: str = "Pretend Wireless"
    line_status: LineStatus = "active"
    reassigned: Reassigned = "no"
    pumping_score: int = 0
    lookup_error: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError with the invalid field."""
        for name, choices in (("line_type", LineType), ("line_status", LineStatus), ("reassigned", Reassigned)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name}: one of {', '.join(get_args(choices))}")
        if not isinstance(self.carrier, str):
            # ruff: ignore[type-check-without-type-error] wrong JSON gives one kind of error
            raise ValueError("carrier: a text")
        for name in ("pumping_score", "lookup_error"):
            value = getattr(self, name)
            if not (value is None and name == "lookup_error") and (
                not isinstance(value, int) or isinstance(value, bool)
            ):
                raise ValueError(f"{name}: a whole number")


FACTS = frozenset(field.name for field in fields(PhoneFacts))


def as_e164(number: str, region: str) -> str | None:
    """The number in E.164, from E.164 or national format; None if it is not a number."""
    parsed = _parsed(number, region)
    return None if parsed is None else phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


def look_up(
    number: str, *, region: str, wanted: frozenset[str], last_verified: str | None, facts: PhoneFacts, url: str
) -> dict[str, Any]:
    """The answer about a number in E.164, or in `region`'s national format; `wanted` are some of FIELDS.

    Fields that were not wanted or have no data are null. `last_verified` is YYYYMMDD.
    """
    parsed = _parsed(number, region)
    errors = ["NOT_A_NUMBER"] if parsed is None else _errors(parsed)
    found: dict[str, Any] = {
        "calling_country_code": None if parsed is None else str(parsed.country_code),
        "country_code": None if parsed is None else phonenumbers.region_code_for_number(parsed),
        "phone_number": as_e164(number, region) or number,
        "national_format": None
        if parsed is None
        else phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL),
        "valid": not errors,
        "validation_errors": errors,
        **dict.fromkeys(PACKAGES),
    }
    if not errors:
        found |= {name: package for name, package in _packages(facts, last_verified).items() if name in wanted}
    return found | {"url": url}


def _packages(facts: PhoneFacts, last_verified: str | None) -> dict[str, dict[str, Any]]:
    code = facts.lookup_error
    packages: dict[str, dict[str, Any]] = {
        "line_status": {"status": facts.line_status, "error_code": code},
        "line_type_intelligence": {
            "type": facts.line_type,
            "carrier_name": facts.carrier,
            "mobile_country_code": "311" if facts.line_type == "mobile" else None,
            "mobile_network_code": "000" if facts.line_type == "mobile" else None,
            "error_code": code,
        },
        "reassigned_number": {
            "last_verified_date": last_verified,
            "is_number_reassigned": facts.reassigned,
            "error_code": code,
        },
        "sms_pumping_risk": {
            "sms_pumping_risk_score": facts.pumping_score,
            "carrier_risk_category": "high" if facts.pumping_score >= 75 else "low",
            "number_blocked": False,
            "error_code": code,
        },
    }
    if code is None:
        return packages
    return {
        name: {key: value if key == "error_code" else None for key, value in package.items()}
        for name, package in packages.items()
    }


def _parsed(number: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        return phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None


def _errors(parsed: phonenumbers.PhoneNumber) -> list[str]:
    if phonenumbers.is_valid_number(parsed):
        return []
    return [_REASONS.get(phonenumbers.is_possible_number_with_reason(parsed), "INVALID_BUT_POSSIBLE")]
