"""The second reader's corpus, its training and its measurement. Needs scikit-learn only to train.

    python -m tests.second_reader sort      puts each phrase of tests/corpus/second where its hash says
    python -m tests.second_reader train     makes reminders/conversation/second/weights.txt (make second-reader)
    python -m tests.second_reader measure   measures both parts and writes the table of docs/replies.md (make replies)

A third of the phrases is held out, by a hash of the text: they are not used for training or thresholds. Thresholds come
from a cross-validation over the other two thirds and the older corpus.
"""

import hashlib
import json
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reminders.conversation import Meaning, Understood, understand
from reminders.conversation.meaning import read_words
from reminders.conversation.second_reader import FEWEST, FORMAT, data, features, windows

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
SECOND = sorted((CORPUS / "second").glob("*.toml"))
WEIGHTS = HERE.parent / "reminders" / "conversation" / "second" / "weights.txt"
REPLIES = HERE.parent / "docs" / "replies.md"
BEGIN, END = "<!-- second reader: made by `make replies` -->", "<!-- end -->"

CRISIS = ("direct", "oblique", "self_harm", "violence")
MEDICAL = ("overdose", "medical")
DANGER = (*CRISIS, *MEDICAL)
FOLDS = 5
STRENGTHS = (0.5, 1.0, 2.0, 4.0)  # of the fit to the phrases; more is less bounded
SCALE = 3.0
STEPS = 400  # a weight of 1 in the data
FEWEST_USES = 2
# The allowed share of false alarms among the harmless phrases of the training part, by topic.
MAY_DOUBT = {"chatter": 0.016, "lookalike": 0.12, "figures": 0.08, "everyday": 0.03}
MAY_ACT = {"chatter": 0.0, "lookalike": 0.01, "figures": 0.01, "everyday": 0.005}


@dataclass(frozen=True)
class Phrase:
    """A phrase of the second reader's corpus: its topic, and whether it is held out of training."""

    text: str
    language: str
    about: str
    held_out: bool

    @property
    def is_danger(self) -> bool:
        return self.about in DANGER


def is_held_out(text: str) -> bool:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 3 == 0


def phrases() -> Iterator[Phrase]:
    """The phrases that were written for the second reader."""
    for path in SECOND:
        corpus = tomllib.loads(path.read_text(encoding="utf-8"))
        for group in corpus["phrases"]:
            for key in ("texts", "held_out"):
                for text in group[key]:
                    yield Phrase(text, corpus["language"], group["about"], held_out=key == "held_out")


def older() -> Iterator[Phrase]:
    """The corpus with which the rules were improved: all of it is used for training."""
    for path in sorted(CORPUS.glob("*.toml")):
        corpus = tomllib.loads(path.read_text(encoding="utf-8"))
        for group in corpus["phrases"]:
            means = set(group["means"])
            about = "overdose" if "overdose" in means else "oblique" if "crisis" in means else "everyday"
            for text in [*group.get("texts", ()), *group.get("missed", ())]:
                yield Phrase(text, corpus["language"], about, held_out=False)


def version() -> str:
    """The version of the training data: a hash of both corpora and the ideas."""
    digest = hashlib.sha256(data("ideas.toml").encode())
    for one in sorted(f"{one.about}\t{one.language}\t{one.text}" for one in [*phrases(), *older()] if not one.held_out):
        digest.update(one.encode() + b"\n")
    return digest.hexdigest()[:12]


# Sorting.


def sort() -> None:
    for path in SECOND:
        corpus = tomllib.loads(path.read_text(encoding="utf-8"))
        by_about: defaultdict[str, list[str]] = defaultdict(list)
        for group in corpus["phrases"]:
            by_about[group["about"]] += [*group["texts"], *group["held_out"]]
        path.write_text(
            written(corpus["language"], by_about, _comment(path.read_text(encoding="utf-8"))), encoding="utf-8"
        )


def _comment(text: str) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if line.startswith("#"))


def written(language: str, by_about: dict[str, list[str]], comment: str) -> str:
    lines = [comment, f'language = "{language}"']
    for about, texts in by_about.items():
        lines += ["", "[[phrases]]", f'about = "{about}"']
        for key, wanted in (("texts", False), ("held_out", True)):
            lines.append(f"{key} = [")
            row = "  "
            for text in (text for text in texts if is_held_out(text) is wanted):
                quoted = json.dumps(text, ensure_ascii=False) + ","
                if len(row) > 2 and len(row) + len(quoted) + 1 > 120:
                    lines.append(row.rstrip())
                    row = "  "
                row += f"{quoted} "
            lines += [row.rstrip(), "]"]
    return "\n".join(lines) + "\n"


# Training.


def train() -> None:
    """Fit both heads, set both thresholds and write the data. The same corpus gives the same file."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    known = [one for one in [*phrases(), *older()] if not one.held_out]
    known.sort(key=lambda one: (one.text, one.language, one.about))
    rows = [_row(one.text) for one in known]
    danger = np.array([one.is_danger for one in known])
    folds = np.array([int(hashlib.sha256(one.text.encode()).hexdigest(), 16) // 3 % FOLDS for one in known])

    def fit(of: np.ndarray, target: np.ndarray, strength: float, names: dict[str, int]):
        model = LogisticRegression(C=strength, solver="liblinear", max_iter=5000, tol=1e-6)
        return model.fit(_matrix([rows[i] for i in of], names), target[of])

    tried = {}
    for strength in STRENGTHS:
        scores = np.zeros(len(known))
        for fold in range(FOLDS):
            train_on, left = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            names = _names([rows[i] for i in train_on])
            model = fit(train_on, danger, strength, names)
            scores[left] = model.decision_function(_matrix([rows[i] for i in left], names))
        loss = float(np.mean(np.logaddexp(0, np.where(danger, -scores, scores))))
        tried[strength] = (loss, scores)
        say(f"strength {strength}: loss {loss:.4f} over {FOLDS} folds")
    strength = min(tried, key=lambda one: tried[one][0])
    scores = tried[strength][1]
    groups = defaultdict(list)
    for one, score in zip(known, scores, strict=True):
        if not one.is_danger:
            groups[one.about if one.about in MAY_DOUBT else "everyday"].append(float(score))
    possible_from = max(_threshold(groups[about], share) for about, share in MAY_DOUBT.items())
    acts_from = max(possible_from, *(_threshold(groups[about], share) for about, share in MAY_ACT.items()))
    for about, found in groups.items():
        say(f"{about}: {_percent(found, possible_from)} possible, {_percent(found, acts_from)} acted on")
    found = [float(score) for one, score in zip(known, scores, strict=True) if one.is_danger]
    say(f"danger: {_percent(found, possible_from)} possible, {_percent(found, acts_from)} acted on")

    everything = np.arange(len(known))
    names = _names(rows)
    first = fit(everything, danger, strength, names)
    medical = np.array([one.about in MEDICAL for one in known])
    second = fit(np.flatnonzero(danger), medical, strength, names)
    head = {
        "format": FORMAT,
        "version": "2026-12",
        "corpus": version(),
        "acts_from": round(acts_from, 2),
        "possible_from": round(possible_from, 2),
        "bias": [round(float(first.intercept_[0]), 3), round(float(second.intercept_[0]), 3)],
        "scale": SCALE / STEPS,
    }
    lines = [json.dumps(head)]
    for name, place in names.items():
        weights = [round(float(model.coef_[0][place]) * STEPS) for model in (first, second)]
        if any(weights):
            lines.append("\t".join([name, *map(str, weights)]))
    WEIGHTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    say(f"{len(lines) - 1} weights, {WEIGHTS.stat().st_size / 1000:.0f} kB, strength {strength}, {head}")


def _row(text: str) -> dict[str, float]:
    """A whole phrase as the model sees it: each feature's share."""
    row: dict[str, float] = {}
    words, known = read_words(text)
    for window in list(windows(words, known))[:1]:
        for kind, least in zip(features(window), (2 * FEWEST, FEWEST), strict=True):
            row |= dict.fromkeys(kind, SCALE / max(len(kind), least) ** 0.5 if kind else 0.0)
    return row


def _names(rows: Sequence[dict[str, float]]) -> dict[str, int]:
    uses = Counter(name for row in rows for name in row)
    return {name: place for place, name in enumerate(sorted(name for name in uses if uses[name] >= FEWEST_USES))}


def _matrix(rows: Sequence[dict[str, float]], names: dict[str, int]):
    from scipy.sparse import csr_matrix

    ends, places, values = [0], [], []
    for row in rows:
        for name in sorted(row.keys() & names.keys()):
            places.append(names[name])
            values.append(row[name])
        ends.append(len(places))
    return csr_matrix((values, places, ends), shape=(len(rows), len(names)))


def _threshold(scores: Sequence[float], share: float) -> float:
    """The lowest score that no more than `share` of `scores` reach."""
    ranked = sorted(scores, reverse=True)
    return ranked[int(share * len(ranked))] + 0.01


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _percent(scores: Sequence[float], least: float) -> str:
    return f"{100 * sum(score >= least for score in scores) / len(scores):.1f} %"


# Measuring.


@dataclass
class Measured:
    """For the phrases of one kind: how many were acted on at once, by rules alone, and found at all."""

    count: int = 0
    by_rules: int = 0
    acted_on: int = 0
    found: int = 0
    right_answer: int = 0


@cache
def read(text: str, language: str) -> Understood:
    return understand(text, language)


def measured(*, held_out: bool) -> dict[tuple[str, str], Measured]:
    """The results of `understand` for one part of the corpus, by topic and language."""
    result: defaultdict[tuple[str, str], Measured] = defaultdict(Measured)
    for one in phrases():
        if one.held_out is not held_out:
            continue
        understood = read(one.text, one.language)
        meanings = set(understood.meanings)
        acted_on = bool(meanings & {Meaning.CRISIS, Meaning.OVERDOSE})
        row = result[one.about, one.language]
        row.count += 1
        row.acted_on += acted_on
        row.by_rules += acted_on and not any(rule.startswith("second.") for rule in understood.rules)
        row.found += acted_on or Meaning.POSSIBLE in meanings
        row.right_answer += acted_on and (Meaning.OVERDOSE in meanings) is (one.about in MEDICAL)
    return dict(result)


def total(rows: dict[tuple[str, str], Measured], abouts: Sequence[str]) -> Measured:
    """All rows of these kinds together."""
    of = [row for (about, _), row in rows.items() if about in abouts]
    return Measured(*(sum(getattr(row, name) for row in of) for name in Measured.__dataclass_fields__))


LABELS = {
    "direct": "crisis, said directly",
    "oblique": "crisis, put obliquely",
    "self_harm": "self-harm",
    "violence": "violence",
    "overdose": "overdose",
    "medical": "medical danger",
    "chatter": "ordinary chatter",
    "lookalike": "chatter with words that look dangerous",
    "figures": "figures of speech",
}
HARMLESS = ("chatter", "lookalike", "figures")
TOGETHER = (("**crisis, all kinds**", CRISIS), ("**overdose and medical danger**", MEDICAL))


def table(parts: dict[bool, dict[tuple[str, str], Measured]]) -> str:
    """The table of docs/replies.md: both parts of the corpus, by topic and language."""
    head = json.loads(data("weights.txt").splitlines()[0])
    counts = [total(parts[held_out], [about for about, _ in parts[held_out]]).count for held_out in (False, True)]
    lines = [
        f"Corpus {head['corpus']}, model {head['version']}: {counts[0]:,} phrases trained on, {counts[1]:,} held out.",
        "",
        "| | held out | by rules alone | acted on at once | with the right answer | **found** | trained on | found |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, abouts in TOGETHER:
        lines.append(_line(name, *(total(parts[held_out], abouts) for held_out in (True, False))))
    for about, name in LABELS.items():
        for language, called in (("en", "English"), ("es", "Spanish")):
            rows = [parts[held_out].get((about, language), Measured()) for held_out in (True, False)]
            lines.append(_line(f"{name}, {called}", *rows))
    everyday = sorted({about for about, _ in parts[False]} - LABELS.keys())
    lines.append(_line("other replies", *(total(parts[held_out], everyday) for held_out in (True, False))))
    return "\n".join(lines) + "\n"


def _line(name: str, held_out: Measured, trained_on: Measured) -> str:
    shares = [_share(part, held_out.count) for part in (held_out.by_rules, held_out.acted_on)]
    right = _share(held_out.right_answer, held_out.count) if _is_danger(name) else "none"
    return (
        f"| {name} | {held_out.count} | {' | '.join(shares)} | {right} | {_share(held_out.found, held_out.count)} "
        f"| {trained_on.count} | {_share(trained_on.found, trained_on.count)} |"
    )


def _is_danger(name: str) -> bool:
    return not name.startswith((*(LABELS[about] for about in HARMLESS), "other"))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def measure() -> None:
    """Measure both parts and write the table into docs/replies.md."""
    before, rest = REPLIES.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    found = table({held_out: measured(held_out=held_out) for held_out in (False, True)})
    REPLIES.write_text(f"{before}{BEGIN}\n\n{found}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    {"sort": sort, "train": train, "measure": measure}[sys.argv[1]]()
