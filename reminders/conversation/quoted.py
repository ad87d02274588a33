# ruff: file-ignore[line-too-long]  alternatives of one kind stand in one line
"""Find a person's own words in a text, without what the phone quotes or adds.

A reaction ("Liked “…”"), a quoted line, a mail signature and a repeated text of ours are cut before the text is
understood. Cutting too little means that a person must read it; cutting too much hides words. So only these are cut:

    the quotation in a reaction, with its prefix
    runs of words that are also in a text we sent, if they are too long to be there by chance
    lines that begin with `>`, mail headers with what they quote, and the signature of a phone

A message of one or two words is never cut: STOP, C and HELP are answers, though they appear in our own texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import Match, SequenceMatcher

from reminders.conversation.spelling import folded

SHORTEST = 5  # words of ours in a row; no answer repeats that many by chance
SHORTEST_ALONE = 4  # the same for a message with no other words
SURE = 8  # the same for words of danger: "in danger call 911" may be a plea
LONGEST_SENT = 40  # texts of ours to compare, the latest first
LONGEST_READ = 4000  # characters; the longest text that Twilio accepts is 1,600


@dataclass(frozen=True, slots=True)
class OwnWords:
    """The person's own words. `said` is the text without quotations, and `quoted` has their places in the body.

    `reaction` is `like` for a like, a love or a thumbs-up, `other` for any other reaction, `removed` for a removed one,
    and None for no reaction.
    """

    said: str
    quoted: tuple[tuple[int, int], ...] = ()
    reaction: str | None = None


_LIKES = "\U0001f44d\u2764\U0001f9e1\U0001f49b\U0001f49a\U0001f499\U0001f49c\U0001f44c\u2705\u2714\u2665\U0001f495\U0001f60d\U0001f64f"
_OPEN = "\"'\u201c\u201d\u201e\u201f\u00ab\u2039\u2018\u2019\u300c"
_SHUT = "\"'\u201c\u201d\u201e\u201f\u00bb\u203a\u2018\u2019\u300d"
_BLANK = "[\\s\u200b-\u200f\u2060\ufeff\u2068\u2069\u202a-\u202e]*"
_EMOJI = "(?:[\u2190-\u2bff\u3000-\u303f\U0001f000-\U0001faff\ufe0f\u200d\u20e3\U000e0020-\U000e007f]+)"
_A = r"(?:an?|the|your|una?|el|la|su|tu)"
_THING = (
    r"(?:image|photo|picture|video|movie|audio(?: message)?|voice (?:message|note)|attachment|sticker|gif|message|text"
    r"|link|location|contact|imagen|foto|fotograf[ií]a|v[ií]deo|audio|nota de voz|adjunto|archivo adjunto|mensaje|texto|enlace)"
)
_LIKED = (
    r"liked|loved|le gust[oó]|me gusta|me gust[oó]|le encant[oó]|me encanta|me encant[oó]|le gusta|le encanta"
    r"|(?:ha )?indic(?:[oó]|ado) que le (?:gusta|encanta)|(?:le|te) ha (?:gustado|encantado)|te (?:gust|encant)[oó]"
    r"|(?:le |ha )*(?:di|dio|dado|puso|puesto|marc[oó]|marcado)(?: con)? (?:un |el )?(?:me (?:gusta|encanta)|coraz[oó]n)(?: (?:a|en))?"
)
_OTHERS = (
    r"laughed at|emphasi[sz]ed|questioned|disliked|le dio risa|le caus[oó] gracia|me dio risa|me da risa|se ri[oó] (?:de|con)|le hizo gracia"
    r"|enfatiz[oó]|destac[oó]|puso [eé]nfasis en|subray[oó]|exclam[oó](?: ante)?|cuestion[oó]|pregunt[oó] (?:por|sobre)|dud[oó] de|no le gust[oó]|no me gusta|no le gusta|no me gust[oó]"
    r"|no (?:le|te) ha gustado|no te gust[oó]|se ha re[ií]do (?:de|con)|te re[ií]ste de|ha (?:enfatizado|destacado|subrayado|cuestionado)|ha exclamado(?: ante)?|ha preguntado (?:por|sobre)"
)
_REMOVED = (
    r"removed (?:an?|the|their|your|my)?\s*(?:like|love|heart|laugh|exclamation(?: mark| point)?|emphasis|question(?: mark)?|dislike|reaction|[^\s\"\u201c]{1,12})(?: reaction)? (?:from|to)"
    r"|(?:se |ha )*(?:elimin|quit|retir|borr)(?:[oó]|ado|aste) (?:un[a]?|el|la|su|lo de)?\s*(?:[\u00ab\u201c\"][^\u00bb\u201d\"]{1,20}[\u00bb\u201d\"]|\S+(?: \S+){0,4}?) (?:de|del|a|en)"
    rf"|{_EMOJI}{_BLANK}(?:was )?removed from"
)
_REACTED = (
    r"(?:you )?reacted(?: with)?{b}{e}{b}(?:to|on)|(?:you )?reacted to (?:your|the|a|an) (?:message|text)(?: with)?{b}{e}|(?:you )?reacted (?:with )?(?:an? )?\S{{1,12}} to|(?:ha )?reaccion(?:[oó]|ado|aste)(?: con)?{b}{e}{b}(?:a|al|en|ante)|(?:ha )?reaccion(?:[oó]|ado|aste) (?:con )?\S{{1,16}} (?:a|al|en)"
    r"|(?:added|agreg[oó]|a[nñ]adi[oó]|puso){b}{e}{b}(?:to|a|en)"
)
_WITH = _REACTED.format(b=_BLANK, e=_EMOJI)
_PREFIX = re.compile(
    rf"^{_BLANK}(?:(?P<removed>{_REMOVED})|(?P<liked>{_LIKED})|(?P<others>{_OTHERS})|(?P<with>{_WITH})|(?P<emoji>{_EMOJI}){_BLANK}(?:to|a|al|en|para))"
    rf"{_BLANK}:?{_BLANK}(?:(?P<thing>{_A} {_THING})(?=\W|$)|(?:{_A}\s+{_THING}\s*:?\s*)?(?P<open>[{_OPEN}]))",
    re.IGNORECASE,
)
# A prefix without quotation marks, or after the name of the person who reacted, counts if a text of ours follows.
_NAME = r"(?:a )?(?-i:(?:[A-Z\u00c0-\u00dd][a-z\u00df-\u00ff.'\u2019-]+ ){1,3})"
_BARE = re.compile(
    rf"^{_BLANK}(?P<name>(?!(?:stop|help|please|alto|ayuda|basta)\b){_NAME})?(?:(?P<removed>{_REMOVED})|(?P<liked>{_LIKED})|(?P<others>{_OTHERS})|(?P<with>{_WITH})|(?P<emoji>{_EMOJI}){_BLANK}(?:to|a|al|en|para)){_BLANK}:?{_BLANK}[{_OPEN}]?{_BLANK}$",
    re.IGNORECASE,
)
_LINE = re.compile(r"(?m)^[ \t]*>.*$\n?")
# The line must have a date or time: "el otro dia mi esposo escribio: …" is in the person's own words.
_WROTE = re.compile(
    r"(?im)^[ \t>]*(?:(?:on|el)\b(?=[^\n]*\d)[^\n]{4,160}(?:\n[^\n]{0,120}?)?(?:(?<=\d)|(?<=\W))(?:wrote|escribi[oó])\s*:"
    r"|-{2,}\s*(?:original message|mensaje original|forwarded message|mensaje reenviado)\s*-{2,}"
    r"|(?:begin forwarded message|inicio del mensaje reenviado)\s*:)[ \t]*\n?"
    r"(?:\s*(?:from|sent|date|to|subject|cc|de|enviado|fecha|para|asunto)\s*:[^\n]*\n?)*"
)
_MINE = frozenset(
    ["i", "im", "ive", "me", "my", "mine", "we", "us", "yo", "mi", "mis", "me", "conmigo", "estoy", "soy", "quiero"]
)
_DANGER = frozenset(["911", "988", "danger", "crisis", "peligro", "emergency", "emergencia"])
_SIGNED = re.compile(
    r"(?im)(?:^|(?<=[\s.!?]))[ \t]*(?:sent (?:from|via|with|using) (?:my|the|an?)? ?(?:verizon |at&t |t-mobile )?"
    r"(?:iphone|ipad|ios|android(?: phone| device)?|samsung(?: galaxy)?(?: \w+)?|galaxy(?: \w+)?|pixel(?: \w+)?|phone|mobile(?: phone| device)?|cell ?phone|blackberry|outlook(?: for \w+)?|yahoo mail[^\n]*|gmail[^\n]*|apple watch|smartphone|tablet|motorola|textnow|windows phone)"
    r"|get outlook for \w+|obtener outlook para \w+"
    r"|enviado (?:desde|con|por) (?:mi |un |el )?(?:iphone|ipad|android|samsung(?: galaxy)?(?: \w+)?|galaxy(?: \w+)?|celular|tel[eé]fono|m[oó]vil|dispositivo(?: \w+)?|outlook(?: para \w+)?|yahoo[^\n]*|gmail[^\n]*|apple watch|smartphone|tablet))"
    r"[ \t]*\.?[ \t]*$\n?"
)
_DASHES = re.compile(r"(?m)^--[ \t]*$\n(?:[^\n]{0,60}(?:\n|\Z)){1,5}\Z")
_WORD = re.compile(r"[^\W_]+")
_DOTS = re.compile(r"(?:\.{2,}|\u2026)")
_ANY_WORD = re.compile(r"\w")


def own_words(body: str, sent: Sequence[str] = ()) -> OwnWords:
    """The person's own words in `body`; `sent` are the texts sent to that number, the latest first.

    It never fails. The result has the places of the cuts in `body`, so nothing is lost; `said` has a line break at each
    cut.
    """
    text = body[:LONGEST_READ]
    cut: list[tuple[int, int]] = []
    ours = [_worded(one) for one in sent[:LONGEST_SENT]]
    found = _reaction(text, ours)
    reaction = None
    if found is not None:
        reaction, end = found
        cut.append((0, end))
    for pattern in (_LINE, _SIGNED, _WROTE):
        cut += [match.span() for match in pattern.finditer(text)]
    signature = _DASHES.search(text)
    if signature is not None and not _MINE.intersection(word for word, _, _ in _worded(signature[0])):
        cut.append(signature.span())
    cut += _repeated(text, ours, cut)
    places = _merged(cut, text)
    rest, at = [], 0
    for begin, end in places:
        rest.append(text[at:begin])
        at = end
    rest.append(body[at:])
    said = "\n".join(part for part in rest if _ANY_WORD.search(part) or part.strip(f" \t\r\n.,;:…-{_OPEN}{_SHUT}"))
    if reaction is None and (bare := _BARE.match(said)) and places:
        return OwnWords("", ((0, len(body)),), "other" if bare["name"] and not bare["removed"] else _kind(bare))
    return OwnWords(said.strip() if places else body, tuple(places), reaction)


def quotes(body: str, sent: str) -> bool:
    """Whether the reaction `body` quotes the text `sent` from its beginning, shortened or not."""
    match = _PREFIX.match(body)
    if match is None or match["open"] is None:
        return False
    said = [word for word, _, _ in _worded(body[match.end() :])]
    theirs = [word for word, _, _ in _worded(sent)]
    same = 0
    while same < min(len(said), len(theirs)) and said[same] == theirs[same]:
        same += 1
    half = same < len(theirs) and same == len(said) - 1 and theirs[same].startswith(said[same])
    return same >= SHORTEST and (same == len(said) or half)


def same_words(one: str, other: str) -> bool:
    """Whether two texts differ only in numbers, case and punctuation, as from a bot that counts its answers."""
    return _plain(one) == _plain(other)


def _plain(text: str) -> list[str]:
    return [word for word, _, _ in _worded(text[:LONGEST_READ]) if not any(letter.isdigit() for letter in word)]


_ROBOT = re.compile(
    r"out of (?:the )?office|(?:auto(?:mat(?:ic|ed))?[ -]?(?:reply|response|responder|message|text))|do not (?:reply|respond)"
    r"|(?:not|un) ?monitored|(?:received|got) your (?:message|text|inquiry|email)|thank(?:s| you) for (?:contacting|reaching out|your (?:message|inquiry|call|text))"
    r"|(?:office|business) hours|(?:we are|office is) (?:currently |now )?closed|get back to you|return your (?:call|message)|away from (?:my|the) (?:phone|desk)"
    r"|(?:can ?no?'?t|cannot|can not) (?:talk|answer|take your call|text)|(?:i'?m|i am) (?:driving|at work|busy|asleep|sleeping|in (?:a|the) (?:meeting|class|theater|movie))"
    r"|do not disturb|driving focus|notifications? (?:are |is )?silenced|if (?:this|it) is urgent|call you (?:later|back|right back)|(?:for|in case of|if this is) (?:an |a |any )?(?:medical )?emergenc|mailbox|voicemail"
    r"|fuera de (?:la )?oficina|(?:respuesta|mensaje) automatic|no (?:responda|conteste) (?:a )?este|hemos recibido|recibimos su mensaje|gracias por (?:comunicarse|contactar|su mensaje|escribir)"
    r"|notificaciones silenciadas|modo (?:conducir|enfoque|no molestar)|si es urgente|horario de (?:atencion|oficina)|(?:en caso de|si es una|para) emergencia|no puedo (?:hablar|contestar|atender|responder)|estoy (?:manejando|conduciendo|en una (?:reunion|junta)|ocupad|trabajando|en clase)|(?:te|le) (?:llamo|marco) (?:luego|mas tarde|despues)|devolvere"
)


def is_automatic(body: str) -> bool:
    """Whether a text looks like an automatic one from a phone or an office. A guess: it only limits our answers."""
    return _ROBOT.search(" ".join(folded(body[:LONGEST_READ]).split())) is not None


def _reaction(text: str, ours: Sequence[Sequence[tuple[str, int, int]]]) -> tuple[str, int] | None:
    """The kind of reaction at the beginning of `text`, and the end of its quotation."""
    match = _PREFIX.match(text)
    if match is None:
        return None
    if match["open"] is None:
        return _kind(match), match.end()
    begin = match.end()
    shuts = [one.start() for one in re.finditer(f"[{_SHUT}]", text[begin:])]
    inside = [place for place in shuts if not _apostrophe(text, begin + place)]
    if not inside:
        reached = _reach(text, begin, ours)
        return (_kind(match), reached) if reached > begin else None
    # The quotation may contain quotation marks: it ends at the last mark up to which it matches a text of ours.
    reached = _reach(text, begin, ours)
    after = [begin + place for place in inside if begin + place >= reached]
    end = after[0] if after else begin + inside[-1]
    if not ours or reached <= begin:
        end = begin + inside[0]
    return _kind(match), end + 1


def _kind(match: re.Match[str]) -> str:
    if match["removed"]:
        return "removed"
    if match["liked"] or any(one in _LIKES for one in (match["with"] or "") + (match["emoji"] or "")):
        return "like"
    return "other"


def _apostrophe(text: str, at: int) -> bool:
    """Whether the mark at `at` is between two letters, as in `don't`."""
    return text[at] in "'\u2019" and text[at - 1 : at].isalnum() and text[at + 1 : at + 2].isalnum()


def _reach(text: str, begin: int, ours: Sequence[Sequence[tuple[str, int, int]]]) -> int:
    """The end of the words of `text` from `begin` on that match a text of ours."""
    words = _worded(text[begin:])
    best = begin
    for one in ours:
        first = next((place for place, (word, _, _) in enumerate(one) if words and word == words[0][0]), None)
        if first is None:
            continue
        for many, ((word, _, end), (other, _, _)) in enumerate(zip(words, one[first:], strict=False), 1):
            if word != other:
                break
            best = max(best, begin + end) if many >= 2 else best
    return best


def _worded(text: str) -> list[tuple[str, int, int]]:
    """The words of `text`, folded, each with its place."""
    return [(folded(match[0]), match.start(), match.end()) for match in _WORD.finditer(text)]


def _repeated(
    text: str, ours: Sequence[Sequence[tuple[str, int, int]]], cut: Sequence[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The places in `text` that repeat words of ours, however they are broken, shortened or punctuated."""
    words = [one for one in _worded(text) if not any(begin <= one[1] < end for begin, end in cut)]
    if len(words) < SHORTEST_ALONE:
        return []
    said = [word for word, _, _ in words]
    taken = [False] * len(words)
    for one in ours:
        theirs = [word for word, _, _ in one]
        runs = [run for run in SequenceMatcher(None, said, theirs, autojunk=False).get_matching_blocks() if run.size]
        most = max((run.size for run in runs), default=0)
        whole = most == len(words) and most >= SHORTEST_ALONE
        shortened = _DOTS.search(text) is not None
        for run in runs:
            # A short run counts near a long one of the same text: something between them was retyped.
            if run.size >= SHORTEST or whole or (most >= 2 * SHORTEST and run.size >= 2 and _near(run, runs)):
                if run.size < SURE and not most >= SURE and _DANGER.intersection(said[run.a : run.a + run.size]):
                    continue
                taken[run.a : run.a + run.size] = [True] * run.size
                _half_a_word(said, theirs, run, taken, shortened=shortened)
        _close_gaps(said, theirs, taken)
    places: list[tuple[int, int]] = []
    begin: int | None = None
    for place, mine in enumerate([*taken, False]):
        if mine and begin is None:
            begin = place
        elif not mine and begin is not None:
            places.append((words[begin][1], words[place - 1][2]))
            begin = None
    return places


def _near(run: Match, runs: Sequence[Match]) -> bool:
    """Whether a longer run of the same text is within three words of `run`."""
    return any(
        one.size >= SHORTEST and (0 <= run.a - (one.a + one.size) <= 3 or 0 <= one.a - (run.a + run.size) <= 3)
        for one in runs
    )


def _half_a_word(said: Sequence[str], theirs: Sequence[str], run: Match, taken: list[bool], *, shortened: bool) -> None:
    """Take the last word of a quotation too, if the phone cut it off in the middle."""
    at, there = run.a + run.size, run.b + run.size
    if shortened and at < len(said) and there < len(theirs) and theirs[there].startswith(said[at]):
        taken[at] = True


def _close_gaps(said: Sequence[str], theirs: Sequence[str], taken: list[bool]) -> None:
    """Take a word between two taken ones if it differs from ours only by a typo."""
    known = set(theirs)
    for place in range(1, len(said) - 1):
        if taken[place - 1] and taken[place + 1] and not taken[place]:
            word = said[place]
            alike = any(SequenceMatcher(None, word, other).ratio() >= 0.75 for other in known if other[:1] == word[:1])
            taken[place] = alike


def _merged(cut: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """The places in order, joined if there is only punctuation between them."""
    places: list[tuple[int, int]] = []
    for begin, end in sorted(cut):
        if end <= begin:
            continue
        if places and (begin <= places[-1][1] or not _ANY_WORD.search(text[places[-1][1] : begin])):
            places[-1] = (places[-1][0], max(places[-1][1], end))
        else:
            places.append((begin, end))
    return places
