"""What happens when, by rules and chance, and the resulting webhook calls, in order or not."""

import heapq
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from reminders.simulator.rules import Rule, Stage
from reminders.simulator.settings import SimulatorSettings
from reminders.simulator.webhooks import Callback, Kind, Outcome, signed


@dataclass(slots=True)
class JournalEntry:
    """One try of a webhook call; `outcome` is None while it is in progress, and for one that was never made."""

    callback: Callback
    outcome: Outcome | None = None
    answered_at: datetime | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Release:
    """The latest time to make a held-back call and its copies, whether another has overtaken it or not."""

    calls: Sequence[Callback]


class Timeline(ABC):
    """A seed, rules, and an agenda: each event happens at its own instant and in order, however late anyone looks.

    A subclass defines what happens (`_happen`) and schedules it (`_push`).
    """

    def __init__(self, settings: SimulatorSettings, *, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget every rule, call and future event, reset the clock and restart chance from the seed."""
        self.rules: list[Rule] = []
        self.counters: Counter[str] = Counter()
        self.journal: list[JournalEntry] = []
        self.refusing_until: datetime | None = None
        self.ahead = timedelta(0)
        self._random = Random(self._seed)
        self._agenda: list[tuple[datetime, int, object]] = []
        self._order = count()
        self._ready: list[Callback] = []
        self._kept: dict[str, Sequence[Callback]] = {}
        self._under_way: dict[tuple[str, int], JournalEntry] = {}

    # What a test or a person sets

    def add_rule(self, rule: Rule, now: datetime) -> None:
        """Add a rule from `now` on; `refuse_connection` sets `refusing_until`, for the owner of the socket."""
        if rule.fault == "refuse_connection":
            self.refusing_until = now + timedelta(seconds=5.0 if rule.seconds is None else rule.seconds)
            self.counters["fault refuse_connection"] += 1
            return
        rule.start(now, self._random)
        self.rules.append(rule)
        if rule.fault == "suspended":
            assert rule.since is not None
            self._push(rule.since, rule)
            self.advance(now)

    def clear_rules(self) -> None:
        """Remove every rule."""
        self.rules.clear()
        self.refusing_until = None

    def change(self, **settings: Any) -> None:
        """Change settings from here on, by name."""
        self.settings = replace(self.settings, **settings)

    def forward(self, seconds: float, now: datetime) -> datetime:
        """Set the clock `seconds` ahead of `now`, let everything in between happen, and return the new now.

        `ahead` is the total by which the clock is ahead.
        """
        self.ahead += timedelta(seconds=seconds)
        self.advance(now + timedelta(seconds=seconds))
        return now + timedelta(seconds=seconds)

    # Time

    def advance(self, now: datetime) -> None:
        """Let everything due by `now` happen, in order and each event at its own instant."""
        while self._agenda and self._agenda[0][0] <= now:
            at, _, what = heapq.heappop(self._agenda)
            if isinstance(what, Callback):
                self._ready.append(what)
            elif isinstance(what, _Release):
                if self._kept.get(what.calls[0].sid) is what.calls:
                    self._ready += (replace(call, at=at) for call in self._kept.pop(what.calls[0].sid))
            else:
                self._happen(what, at)

    @abstractmethod
    def _happen(self, what: Any, at: datetime) -> None:
        """Perform the event that was scheduled for `at`."""

    def _push(self, at: datetime, what: object) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), what))

    def next_due_at(self) -> datetime | None:
        """When to call `due` next; None if nothing is scheduled."""
        if self._ready:
            return self._ready[0].at
        return self._agenda[0][0] if self._agenda else None

    # Rules and chance

    def _holding(self, candidates: Iterable[Rule], number: str | None, at: datetime) -> dict[Stage, Rule]:
        """The rule of each stage that acts this time (see Rule), from candidates, oldest first. None is used up yet."""
        acting: dict[Stage, Rule] = {}
        for rule in reversed(list(candidates)):
            if rule.matches(number, at) and self._happens(rule.probability):
                if rule.stage in acting:
                    self._overrule(rule)
                else:
                    acting[rule.stage] = rule
        return acting

    def _overrule(self, *rules: Rule) -> None:
        for rule in rules:
            self.counters[f"overruled {rule.name}"] += 1

    def _use(self, rule: Rule) -> None:
        rule.use()
        self.counters[f"{'disorder' if rule.disorder else 'fault'} {rule.fault or rule.disorder}"] += 1

    def _happens(self, probability: float) -> bool:
        return probability >= 1 or (probability > 0 and self._random.random() < probability)

    def _sid(self, prefix: str) -> str:
        return f"{prefix}{self._random.getrandbits(128):032x}"

    # Webhook calls

    def due(self, now: datetime) -> list[Callback]:
        """The webhook calls to make now, in order, each handed out once. Report each with `called`."""
        self.advance(now)
        ready, self._ready = self._ready, []
        calls = []
        for call in ready:
            first_at = now if call.attempt == 0 else call.first_at
            handed_out = replace(call, first_at=first_at, number=len(self.journal))
            entry = JournalEntry(handed_out)
            self.journal.append(entry)
            self._under_way[handed_out.token, handed_out.number] = entry
            calls.append(handed_out)
        if calls:
            self.counters["callback tries"] += len(calls)
        return calls

    def called(self, callback: Callback, outcome: Outcome, now: datetime, answer: bytes = b"") -> None:
        """Record the outcome of a call from `due`: it is done, tried again later under its policy, or lost.

        `answer` is the body of the answer.
        """
        entry = self._under_way.pop((callback.token, callback.number), None)
        if entry is None:
            return  # from before a reset
        entry.outcome, entry.answered_at = outcome, now
        if isinstance(outcome, int) and outcome < 400:
            self.counters["callbacks answered"] += 1
            self._answered(callback, answer, now)
        elif (again := callback.again(outcome, now, self.settings.callback_pause)) is not None:
            self._push(again.at, again)
        else:
            entry.lost = True
            self.counters["callbacks lost"] += 1
            self._lost(callback, outcome, now)

    @abstractmethod
    def _answered(self, callback: Callback, answer: bytes, now: datetime) -> None:
        """Handle a call that succeeded."""

    @abstractmethod
    def _lost(self, callback: Callback, outcome: Outcome, now: datetime) -> None:
        """Handle a call that failed and is not tried again."""

    def _call(
        self,
        kind: Kind,
        url: str,
        *,
        sid: str,
        status: str,
        phone: str,
        form: list[tuple[str, str]],
        at: datetime,
        last: bool,
    ) -> None:
        """Schedule a call about a message with that phone, under the rules of disorder; `last` if no more follow."""
        if self._happens(self.settings.surprise_parameter):
            # Twilio adds parameters without notice; a receiver must validate over all and ignore the unknown ones.
            form.append((f"X{self._random.randrange(1000)}", "new"))
        acting = self._disorders(kind, status, phone, at, last=last) if self.rules else {}
        if (signature := acting.get("signature")) is not None:
            self._use(signature)
        call = self._signed(kind, url, form, signature, sid=sid, status=status, at=at)
        calls = [call]
        if (doubled := acting.get("copies")) is not None:
            self._use(doubled)
            calls *= 1 + doubled.copies
        earlier = self._kept.pop(sid, ())
        self._send_off(calls, acting.get("route"), at)
        if (stray := acting.get("stray")) is not None:
            self._use(stray)
            other = self._sid("SM")
            strange = [(name, other if value == sid else value) for name, value in form]
            self._push(at, self._signed(kind, url, strange, signature, sid=other, status=status, at=at))
        for one in earlier:
            # A pause later, so that it comes second even if calls are made in parallel.
            overtaken = replace(one, at=at + timedelta(seconds=self.settings.callback_pause))
            self._push(overtaken.at, overtaken)

    def _disorders(self, kind: Kind, status: str, phone: str, at: datetime, *, last: bool) -> Mapping[Stage, Rule]:
        acting = self._holding(
            (
                rule
                for rule in self.rules
                if rule.disorder is not None
                and rule.about in {None, status}
                and not (rule.disorder == "swapped" and last)  # with what?
                and not (rule.disorder == "unknown_sid" and kind != "status")
            ),
            phone,
            at,
        )
        route = acting.get("route")
        if route is not None and route.disorder == "dropped":
            self._overrule(*(rule for rule in acting.values() if rule is not route))
            return {"route": route}
        return acting

    def _send_off(self, calls: Sequence[Callback], route: Rule | None, at: datetime) -> None:
        """Schedule a call and its copies."""
        if route is not None:
            self._use(route)
            match route.disorder:
                case "dropped":
                    self.journal.append(JournalEntry(calls[0], lost=True))
                    return
                case "swapped":
                    self._kept[calls[0].sid] = calls
                    wait = 60.0 if route.seconds is None else route.seconds
                    self._push(at + timedelta(seconds=wait), _Release(calls))
                    return
                case "late":
                    at += timedelta(seconds=7200.0 if route.seconds is None else route.seconds)
                case _:  # burst
                    assert route.since is not None
                    at += (route.since - at) % timedelta(seconds=route.seconds or 60.0)
        for call in calls:
            self._push(at, call if call.at == at else replace(call, at=at))

    def _signed(
        self,
        kind: Kind,
        url: str,
        form: Sequence[tuple[str, str]],
        rule: Rule | None,
        *,
        sid: str,
        status: str,
        at: datetime,
    ) -> Callback:
        how = None if rule is None else rule.disorder
        return signed(
            kind,
            url,
            form,
            sid=sid,
            status=status,
            auth_token=self.settings.former_token if how == "former_token" else self.settings.auth_token,
            token=f"{self._random.getrandbits(128):032x}",
            at=at,
            signature="bad" if how == "bad_signature" else "none" if how == "no_signature" else "good",
        )
