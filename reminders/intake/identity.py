"""Which rows are one visit, and which are of one patient: nothing is settled by a row's position. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from reminders.intake.arrivals import Agreed, Trouble, Visit
from reminders.intake.vocabulary import squeezed


def same_person(
    visits: Sequence[Visit], births: Mapping[str, set[str]], *, by_name: bool, column: str | None
) -> tuple[list[Visit], list[Trouble]]:
    """The visits without those whose reference stands for two people, and what is wrong with these.

    Two people are two names with two numbers; where the name is the reference (`by_name`), two numbers or two of the
    birth dates in `births`.
    """
    by_patient: dict[str, list[Visit]] = defaultdict(list)
    for one in visits:
        by_patient[one.patient].append(one)
    mixed: set[str] = set()
    for patient, rows in by_patient.items():
        names = {squeezed(one.name) for one in rows if one.name}
        phones = {one.phone for one in rows if one.phone}
        two_numbers = len(phones) > 1 and (by_name or len(names) > 1)
        if two_numbers or (by_name and len(births.get(patient, ())) > 1):
            mixed.add(patient)
    what = "one name" if by_name else "one reference"
    problem = f"{what} stands for two people here, by their numbers, names or birth dates; give each an ID of their own"
    wrong = [Trouble(one.place, problem, column) for one in visits if one.patient in mixed]
    return [one for one in visits if one.patient not in mixed], wrong


def each_once(visits: Sequence[Visit], column: str | None) -> tuple[list[Visit], list[Trouble]]:
    """Each visit once: of rows with one id the one updated last. Two that differ, or are of two people, are refused."""
    by_key: dict[tuple[object, ...], list[Visit]] = defaultdict(list)
    for one in visits:
        key = (one.id, one.occurrence) if one.id is not None else (None, one.patient, one.start, one.zone)
        by_key[key].append(one)
    kept: set[str] = set()
    wrong: list[Trouble] = []
    for same in by_key.values():
        found = same[0] if len(same) == 1 else _settled(same)
        if isinstance(found, Visit):
            kept.add(found.place)
            continue
        places = ", ".join(one.place for one in same[:4])
        header = column if same[0].id is not None else None
        wrong += [Trouble(one.place, f"{found} ({places})", header) for one in same]
    return [one for one in visits if one.place in kept], wrong


def _settled(same: Sequence[Visit]) -> Visit | str:
    """The one that counts of rows with one identity, or why none does."""
    if len({one.patient for one in same}) > 1:
        return "one visit's id stands for two patients; give each visit its own"
    if len({(one.start, one.zone, one.status, one.minutes, one.how, one.repeats) for one in same}) == 1:
        return same[0]
    versions = [one.updated for one in same if one.updated is not None]
    if len(versions) == len(same) and versions.count(max(versions)) == 1:
        return same[versions.index(max(versions))]
    if same[0].id is None:
        return "one patient has two visits at one time that differ; keep one, or add a column with each visit's own id"
    return "one visit's id stands in rows that differ; keep the right one, or add a column Updated"


def plans_once(plans: Sequence[Agreed]) -> tuple[list[Agreed], list[Trouble]]:
    """Each plan once; rows that say different things of one plan are refused."""
    by_ref: dict[str, list[Agreed]] = defaultdict(list)
    for one in plans:
        by_ref[one.document.plan.ref].append(one)
    kept: list[Agreed] = []
    wrong: list[Trouble] = []
    for one in plans:
        same = by_ref[one.document.plan.ref]
        if len({other.document.canonical() for other in same}) > 1:
            places = ", ".join(other.place for other in same[:4])
            wrong.append(Trouble(one.place, f"one plan stands in rows that differ ({places}); keep one of them"))
        elif one is same[0]:
            kept.append(one)
    return kept, wrong
