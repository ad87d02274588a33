"""The kinds of appointment, how a visit takes place, and which consent covers it."""

from enum import StrEnum


class Category(StrEnum):
    """What a person can agree to get texts about (L-3)."""

    APPOINTMENTS = "appointments"
    MEETINGS = "meetings"
    WELLNESS = "wellness"
    CHECKINS = "checkins"
    FAMILY = "family"


class Mode(StrEnum):
    """How a visit takes place. It decides the words of a text, which never contains a link (L-35)."""

    IN_PERSON = "in_person"
    PHONE = "phone"
    VIDEO = "video"


class Kind(StrEnum):
    """The kinds of appointment (ARCHITECTURE.md#the-words; S-1 … S-18)."""

    THERAPY_INDIVIDUAL = "therapy_individual"
    THERAPY_GROUP = "therapy_group"
    GROUP_EDUCATION = "group_education"
    SUPPORT_MEETING = "support_meeting"
    FAMILY_SESSION = "family_session"
    PSYCHIATRY = "psychiatry"
    CHECK_UP = "check_up"
    PEER_MENTOR = "peer_mentor"
    HOUSE_MEETING = "house_meeting"
    WELLNESS = "wellness"
    VOCATIONAL = "vocational"

    def category(self, role: str) -> Category:
        """The consent a recipient with this `role` (self, supporter or guardian) must have given (L-3, S-10)."""
        if role != "self":
            return Category.FAMILY
        if self.is_open_meeting:
            return Category.MEETINGS
        if self is Kind.WELLNESS:
            return Category.WELLNESS
        return Category.APPOINTMENTS

    @property
    def is_open_meeting(self) -> bool:
        """Whether it is a meeting run by others, which does not close with the site."""
        return self in {Kind.SUPPORT_MEETING, Kind.HOUSE_MEETING}

    @property
    def is_clinical(self) -> bool:
        """Whether it can be the first visit after discharge (P-20, P-21)."""
        return self not in {
            Kind.SUPPORT_MEETING,
            Kind.HOUSE_MEETING,
            Kind.WELLNESS,
            Kind.VOCATIONAL,
            Kind.PEER_MENTOR,
        }

    @property
    def is_individual(self) -> bool:
        """Whether it is one-on-one, so that the patient alone can confirm or change it."""
        return self in {Kind.THERAPY_INDIVIDUAL, Kind.PSYCHIATRY, Kind.CHECK_UP, Kind.PEER_MENTOR}
