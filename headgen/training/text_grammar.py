"""Texts with what they ask for: captions of made-up events, and requests made by a grammar.

Amounts are what words mean, since a text seldom says for how long it holds: `LITTLE` for once or slightly,
`SOME` for now and then, `PLAIN` where nothing is said, `MUCH` for a lot, 0 for what is not to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from headgen.listener.wishes import ATTITUDES, FULL
from headgen.synth.conversation.captions import (
    OFTEN,
    RARELY,
    attitude_text,
    instruction,
    sentence,
    summary,
    tags,
)
from headgen.synth.conversation.events import Event
from headgen.synth.conversation.phrasing import by_kind, conjugated, grade, pick
from headgen.training import text_phrases as phrases

__all__ = ["LITTLE", "MUCH", "PLAIN", "SOME", "Example", "caption", "example", "request"]

LITTLE, SOME, PLAIN, MUCH = 0.3, 0.5, 0.75, 1.0
CAPTIONS = 0.25
"""Share of captions among the texts."""
DOUBLED = frozenset(
    {"nod", "bob", "dip", "let", "knit", "wag", "tip", "put", "bat", "shut", "flap", "stop", "sit", "grin",
     "hum", "run", "swim", "spit", "rub", "snap"}
)  # fmt: skip
"""Verbs whose last letter is doubled before -ing."""
IRREGULAR = {"have": "has", "be": "is", "do": "does", "cry": "cries", "fly": "flies", "say": "says"}
"""Third persons that are not made by -s."""
NONSENSE = 0.08
"""Share of requests of which nothing is to be understood."""
STRAY = 0.35
"""Share of requests with words in them that change nothing."""
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ou")
ENDINGS = ("", "", "s", "ing", "ed", "ly", "es", "er", "ion", "tely")
HEAD = ("nod", "shake", "tilt", "posture_shift")
"""What somebody who keeps still does not do."""
NAMES = tuple(FULL)
WANTED, UNWANTED, COUNTS = (0, 1, 1, 1, 1, 2, 2, 3), (0, 0, 0, 0, 1, 1, 2), (1, 1, 1, 2, 3, 4, 6, 9)
"""How many behaviours are asked for, how many asked not to be, and events of a kind: drawn evenly."""
STRENGTHS = {-1: (0.1, 0.39), 0: (0.45, 0.7), 1: (0.8, 1.0)}
"""Of events whose words say that they are weak, nothing, or that they are strong."""


@dataclass
class Example:
    """A text, and what it asks for.

    Attributes:
        text: in English.
        wishes: amount by wish.
        foreign: whether it has words that ask for nothing anybody can do; they are not to be learnt.
    """

    text: str
    wishes: dict[str, float] = field(default_factory=dict)
    foreign: bool = False


def example(rng: np.random.Generator) -> Example:
    """A text, drawn at random."""
    return caption(rng) if rng.random() < CAPTIONS else request(rng)


def caption(rng: np.random.Generator) -> Example:
    """A caption as conversations have them, of events that are made up."""
    duration = float(rng.uniform(3, 30))
    attitude, intensity = pick(ATTITUDES, rng), float(rng.random())
    how = {attitude: LITTLE if intensity < 0.35 else PLAIN if intensity < 0.7 else MUCH}
    style = int(rng.integers(5))
    if style == 0:
        return Example(attitude_text(attitude, intensity, rng), how)
    if style == 1:
        events = made_up(duration, 5, (0,), rng)
        return Example(tags(events, rng, attitude), {**counted(events), attitude: PLAIN})
    if style == 2:
        events = [e for e in made_up(duration, 4, (0,), rng) if e.kind not in ("blink", "posture_shift")]
        text = instruction(events, duration, rng, "listener", attitude)
        told = told_by(text, events, duration)
        return Example(text, {**told, attitude: PLAIN} if text.startswith(("Listen", "React")) else told)
    if style == 3:  # of two kinds, because of more it would leave some out
        events = made_up(duration, 2, (-1, 0, 1), rng)
        return Example(summary(events, rng, attitude, intensity), {**counted(events), **how})
    events = made_up(duration, 5, (-1, 0, 1), rng)
    return Example(sentence(events, rng, "listener"), counted(events))


def made_up(duration: float, most: int, levels: Sequence[int], rng: np.random.Generator) -> list[Event]:
    """Events of a few kinds.

    Args:
        duration: seconds between which they lie.
        most: kinds, at most.
        levels: of strength that a kind may have, see `STRENGTHS`.
        rng: chooses.
    """
    kinds = (*NAMES, "nods")
    events: list[Event] = []
    for kind in (kinds[k] for k in rng.permutation(len(kinds))[: int(rng.integers(1, most + 1))]):
        level = levels[int(rng.integers(len(levels)))]
        for _ in range(COUNTS[int(rng.integers(len(COUNTS)))]):
            start = float(rng.uniform(0, duration))
            strength = float(rng.uniform(*STRENGTHS[level]))
            events.append(Event(kind, "listener", start, start + 1.0, strength, len(events)))
    return events


def counted(events: Sequence[Event]) -> dict[str, float]:
    """What counts and words of strength ask for."""
    out: dict[str, float] = {}
    for group in by_kind(events):
        name = "nod" if group[0].kind == "nods" else group[0].kind
        amount = {-1: LITTLE, 1: MUCH}.get(grade(group), {1: PLAIN, 2: SOME, 3: PLAIN}.get(len(group), MUCH))
        amount = MUCH if group[0].kind == "nods" and amount == PLAIN else amount
        out[name] = max(amount, out.get(name, 0.0))
    return out


def told_by(text: str, events: Sequence[Event], duration: float) -> dict[str, float]:
    """What an instruction for these events asks for: its frequencies are those of `captions.instruction`."""
    out: dict[str, float] = {}
    for kind in {"nod" if e.kind == "nods" else e.kind for e in events}:
        count = sum(e.kind in (kind, f"{kind}s") for e in events)
        rate = 60 * count / duration
        often, rarely = rate >= OFTEN and count > 2, rate < RARELY or count == 1
        out[kind] = MUCH if often else LITTLE if rarely else SOME
    if "gaze_away" not in out:
        out["gaze_away"] = 0.0
    for kind in ("nod", "smile"):
        if f"do not {kind}" in text.lower():
            out[kind] = 0.0
    return out if out.keys() - {"gaze_away"} or "look" in text else {}


def request(rng: np.random.Generator) -> Example:
    """What somebody may write who wants a listener to be or do something."""
    out = Example("")
    if rng.random() < NONSENSE:
        return Example(strayed(foreign(rng), rng) if rng.random() < 0.5 else foreign(rng), {}, True)
    names = [NAMES[k] for k in rng.permutation(len(NAMES))]
    wanted = names[: WANTED[int(rng.integers(len(WANTED)))]]
    unwanted = names[len(wanted) :][: UNWANTED[int(rng.integers(len(UNWANTED)))]]
    parts: list[str] = []
    if rng.random() < (0.35 if wanted or unwanted else 0.95):
        parts.append(attitude(out, rng))
    parts += [wish(out, name, rng) for name in wanted]
    if rng.random() < 0.06:
        parts.append(finite(pick(phrases.STILL, rng), rng))
        out.wishes.update(dict.fromkeys(HEAD, 0.0) | {k: v for k, v in out.wishes.items() if k in HEAD})
    if "gaze_away" not in (*wanted, *unwanted) and rng.random() < 0.1:
        looks = rng.random() < 0.5
        if looks:
            parts.append(finite(pick(phrases.FACING, rng), rng))
        else:
            looking, never = pick(phrases.FACING_TOO, rng), rng.random() < 0.3
            parts.append(
                f"{pick(phrases.NEVER, rng)} {third(looking)}"
                if never
                else f"{pick(phrases.NOT_TO, rng)} {looking}"
            )
        out.wishes["gaze_away"] = 0.0 if looks else PLAIN
    if rng.random() < 0.12 or not (parts or unwanted):
        parts.append(foreign(rng))
        out.foreign = True
    order = [parts[k] for k in rng.permutation(len(parts))]
    if unwanted:
        order.insert(int(rng.integers(len(order) + 1)), refusal(out, unwanted, rng))
    out.text = joined(order, rng)
    if rng.random() < STRAY:
        out.text, out.foreign = strayed(out.text, rng), True
    if rng.random() < 0.5:
        out.text = out.text[:1].upper() + out.text[1:] + pick((".", "", "!"), rng)
    return out


def joined(parts: Sequence[str], rng: np.random.Generator) -> str:
    """Parts, and what is said besides."""
    text = ""
    for part in parts:
        aside = part.startswith(("without", "never", "but", "with ", "while"))
        link = " " if aside and rng.random() < 0.5 else pick(phrases.LINKS, rng)
        text += (link if text else "") + part
        if rng.random() < 0.12:
            text += f" {pick(phrases.OCCASIONS, rng)}"
    return f"{pick(phrases.OCCASIONS, rng)}, {text}" if rng.random() < 0.06 else text


def strayed(text: str, rng: np.random.Generator) -> str:
    """A text with a few words more that change nothing: much of what people write was never met."""
    parts = text.split(" ")
    for _ in range(int(rng.integers(1, 4))):
        word = pick(phrases.STRAYS, rng) if rng.random() < 0.5 else made_word(rng)
        parts.insert(int(rng.integers(len(parts) + 1)), word)
    return " ".join(parts)


def made_word(rng: np.random.Generator) -> str:
    """A word that does not exist."""
    syllables = (
        pick("bcdfghjklmnprstvwz", rng) + pick(VOWELS, rng) + pick(("", "n", "r", "l", "st", "ck"), rng)
        for _ in range(int(rng.integers(1, 4)))
    )
    return pick(("", "", "a", "e", "in"), rng) + "".join(syllables) + pick(ENDINGS, rng)


def attitude(out: Example, rng: np.random.Generator) -> str:
    """Says how to be; notes it."""
    name = pick(ATTITUDES, rng)
    if rng.random() < 0.1:
        out.wishes[name] = 0.0
        how = pick((*phrases.ADJECTIVES[name], *phrases.ADVERBS[name]), rng)
        return f"{pick(phrases.NOT_BEING, rng)} {how}"
    amount, degrees = phrases.INTENSITIES[int(rng.integers(len(phrases.INTENSITIES)))]
    degree = pick(degrees, rng) + " "
    if rng.random() < 0.6:
        amount, degree = PLAIN, ""
    style = rng.random()
    someone = pick(phrases.PEOPLE, rng)
    if style < 0.45:
        how = degree + pick(phrases.ADJECTIVES[name], rng)
        article = "an" if how[0] in "aeiou" else "a"
        text = pick(
            (how, f"{article} {how} listener", f"{someone} is {how}", f"looks {how}", f"seems {how}",
             f"be {how}",
             f"{someone} seems {how}", f"{pick(phrases.ORDERS, rng)} be {how}", f"{how} face",
             f"{article} {how} person",
             f"listen as if {how}", f"in {article} {how} mood", f"stays {how}", f"appears {how}",
             f"{how} all the time",
             f"{how} throughout", f"acts {how}", f"{someone} looks {how}", f"remain {how}",
             f"{how} reactions",
             f"with {article} {how} expression", f"like {article} {how} person", f"mood: {how}",
             f"sounds {how}"), rng,
        )  # fmt: skip
    elif style < 0.75:
        how = degree + pick(phrases.ADVERBS[name], rng)
        text = pick(
            (f"listens {how}", f"listen {how}", f"reacts {how}", f"{how}", f"{someone} listens {how}",
             f"react {how}",
             f"{pick(phrases.ORDERS, rng)} listen {how}", f"looks at the speaker {how}", f"behaves {how}",
             f"follows {how}",
             f"listening {how}"), rng,
        )  # fmt: skip
    else:
        amount, state = PLAIN, pick(phrases.STATES[name], rng)
        text = state if rng.random() < 0.5 else f"{someone} {state}"
    out.wishes[name] = amount
    return text


def wish(out: Example, name: str, rng: np.random.Generator) -> str:
    """Asks for a behaviour, more or less of it; notes it."""
    said = phrases.BEHAVIOURS[name]
    style, level = rng.random(), max(0, int(rng.integers(-2, 4)))
    out.wishes[name] = (PLAIN, LITTLE, SOME, MUCH)[level]
    someone = pick(phrases.PEOPLE, rng)
    if style < 0.12:
        text = pick(said.clauses, rng)
        after = ("", pick(phrases.LITTLE, rng), pick(phrases.SOME, rng), pick(phrases.MUCH, rng))[level]
        return f"{text} {after}".strip()
    if style < 0.42:
        thing = noun(out, name, level, rng)
        carriers = (
            "", "with {}", "shows {}", "gives {}", "answers with {}", "reacts with {}", "{} on the face",
            "has {}",
            "listens with {}", "a person with {}", "a listener with {}", "replies with {}", "adds {}",
            "there is {}", "{} please",
            "I want {}", "responds with {}", "show {}", "give {}", "someone who gives {}", "we see {}",
            "{} in reply",
        )  # fmt: skip
        text = pick(carriers, rng).format(thing) or thing
        return f"{someone} {text}" if rng.random() < 0.15 and text.split()[0].endswith("s") else text
    before = (
        "",
        pick(phrases.LITTLE_BEFORE, rng),
        pick(phrases.SOME_BEFORE, rng),
        pick(phrases.MUCH_BEFORE, rng),
    )
    own = (said.weak if level == 1 else said.strong) if level in (1, 3) else ()
    after = ("", *(pick(many, rng) for many in (phrases.LITTLE, phrases.SOME, phrases.MUCH)))[level]
    if own and rng.random() < 0.4:
        after = pick(own, rng)
    verb = pick(said.verbs, rng)
    form = rng.random()
    if form < 0.45:
        text = finite(verb, rng, someone, before[level] if rng.random() < 0.3 else "")
    elif form < 0.65:
        text = f"{pick(phrases.ORDERS, rng)} {verb}"
    elif form < 0.85:
        text = pick(
            ("{}", "keeps {}", "is {}", "starts {}", "a person {}", "likes {}", "listens, {}",
             "the listener is {}",
             "begins {}", "by {}", "while {}", "we see her {}", "somebody who is {}"), rng,
        ).format(gerund(verb))  # fmt: skip
        if text.startswith("keeps") and not level:
            out.wishes[name] = MUCH
    else:
        text = f"{pick(('a listener who', 'somebody who', 'a person who', 'someone who'), rng)} {third(verb)}"
    if after and text.split()[0] not in before[level].split()[:1]:
        text = text if level and before[level] and f"{before[level]} " in text else f"{text} {after}"
    return text


def noun(out: Example, name: str, level: int, rng: np.random.Generator) -> str:
    """A noun with an adjective or a number that says how much."""
    said = phrases.BEHAVIOURS[name]
    one, _, many = pick(said.nouns, rng).partition("|")
    if not many:
        words = ("", "slight", "some", "a lot of")
        return f"{words[level]} {one}".strip()
    if level == 0:
        return pick((one, many, f"{article(one)} {one}"), rng)
    if level == 2:
        return f"{pick(phrases.FEW, rng)} {many}"
    if level == 3 and rng.random() < 0.5:
        return f"{pick(phrases.MANY, rng)} {many}"
    size = pick((*phrases.BIG, *said.big) if level == 3 else (*phrases.SMALL, *said.small), rng)
    return f"{article(size)} {size} {one}"


def refusal(out: Example, names: Sequence[str], rng: np.random.Generator) -> str:
    """Says what not to do; notes it."""
    out.wishes.update(dict.fromkeys(names, 0.0))
    verbs = [pick(phrases.BEHAVIOURS[name].verbs, rng) for name in names]
    things = []
    for name in names:
        one, _, many = pick(phrases.BEHAVIOURS[name].nouns, rng).partition("|")
        things.append(pick((one, many or one), rng))
    someone, style = pick(phrases.PEOPLE, rng), rng.random()
    either = " or ".join
    if style < 0.34:
        ever = pick(("", "", "", "", " ever", " even", " at any time"), rng)
        text = f"{pick(phrases.NOT_TO, rng)}{ever} {either(verbs)}"
        return f"{someone} {text}" if rng.random() < 0.3 else text
    if style < 0.52:
        return f"{pick(phrases.NOT_DOING, rng)} {either(map(gerund, verbs))}"
    if style < 0.62:
        text = f"{pick(phrases.NEVER, rng)} {either(map(third, verbs))}"
        return f"{someone} {text}" if rng.random() < 0.3 else text
    if style < 0.68:
        return f"neither {' nor '.join(map(third, verbs))}" if len(verbs) > 1 else f"nor {third(verbs[0])}"
    return pick(phrases.NONE_OF, rng).format(either(things))


def foreign(rng: np.random.Generator) -> str:
    """Something that nobody can be asked for, often in a word that does not exist."""
    if rng.random() < 0.5:
        said = pick(phrases.FOREIGN, rng)
        return finite(said, rng) if rng.random() < 0.6 else gerund(said)
    frames = ("{}", "a {}", "{} the head", "with {}", "{} slowly", "very {}", "and {}", "{} a lot")
    return pick(frames, rng).format(made_word(rng))


def finite(verb: str, rng: np.random.Generator, someone: str = "", adverb: str = "") -> str:
    """A statement or an order: "she often nods along", "nod along"."""
    if rng.random() < 0.35:
        return f"{adverb} {verb}".strip()
    text = f"{adverb} {third(verb)}".strip()
    return f"{someone} {text}" if someone and rng.random() < 0.4 else text


def third(verb: str) -> str:
    """Third person of a phrase whose first word is a verb; "do not" becomes "does not"."""
    first, _, rest = verb.partition(" ")
    done = IRREGULAR.get(first) or conjugated(first, False)
    return f"{done} {rest}".strip()


def gerund(verb: str) -> str:
    """The -ing form likewise."""
    first, _, rest = verb.partition(" ")
    if first in DOUBLED:
        first += first[-1]
    elif first.endswith("e") and first != "be" and not first.endswith("ee"):
        first = first[:-1]
    return f"{first}ing {rest}".strip()


def article(word: str) -> str:
    """The article before a word."""
    return "an" if word[0] in "aeiou" else "a"
