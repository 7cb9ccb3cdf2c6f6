"""Words for what a listener can be asked for: the tables of `headgen.training.text_grammar`.

None of the phrasings of `headgen.evaluation.text_phrasings` may stand here: they are what the encoder is
measured on.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrases:
    """How one behaviour is put into words.

    Attributes:
        verbs: phrases whose first word is a verb in its base form.
        nouns: singular and plural, parted by a bar; without one, a noun that has no article.
        clauses: whole statements, third person.
        strong, weak: adverbs that belong to it alone.
        big, small: adjectives likewise.
    """

    verbs: tuple[str, ...]
    nouns: tuple[str, ...]
    clauses: tuple[str, ...]
    strong: tuple[str, ...] = ()
    weak: tuple[str, ...] = ()
    big: tuple[str, ...] = ()
    small: tuple[str, ...] = ()


BEHAVIOURS: dict[str, Phrases] = {
    "nod": Phrases(
        ("nod", "nod the head", "nod along", "nod in agreement", "nod back", "bob the head", "dip the head",
         "move the head up and down", "agree with a nod", "show agreement by nodding", "nod approvingly",
         "acknowledge with nods", "say yes with the head", "nod at the pauses", "nod when the speaker pauses",
         "confirm by nodding", "lower the head and raise it again", "nod understandingly",
         "nod to what is said"),
        ("nod|nods", "head nod|head nods", "nod of the head|nods of the head", "approving nod|approving nods",
         "row of nods|rows of nods", "nodding", "nod of agreement|nods of agreement", "head bob|head bobs"),
        ("the head nods", "the head bobs", "the head goes up and down", "the listener's head dips",
         "the head is lowered and raised"),
        ("vigorously", "eagerly", "emphatically", "hard"), ("gently", "softly"), ("vigorous", "deep"),
         ("gentle",),
    ),
    "smile": Phrases(
        ("smile", "smile back", "smile at the speaker", "grin", "beam", "break into a smile",
         "let a smile show",
         "keep smiling", "put on a smile", "wear a smile", "return the smile", "have a smile on the face",
         "raise the corners of the mouth", "pull up the mouth corners", "smirk", "look happy",
         "look cheerful",
         "curl the lips into a smile", "light up with a smile", "smile with the eyes",
         "keep a friendly smile"),
        ("smile|smiles", "grin|grins", "smiling", "friendly smile|friendly smiles",
         "smiling face|smiling faces",
         "smile on the lips|smiles on the lips", "happy face|happy faces", "cheerful look|cheerful looks"),
        ("a smile appears", "the face smiles", "the mouth smiles", "the corners of the mouth go up",
         "the lips form a smile", "a grin spreads over the face", "the mouth curves upwards",
         "the lips curl up", "the lips are curved upwards", "the mouth corners are raised"),
        ("broadly", "widely", "from ear to ear", "happily"), ("thinly", "shyly", "softly"), ("broad", "wide"),
        ("thin", "shy"),
    ),
    "laugh": Phrases(
        ("laugh", "chuckle", "giggle", "laugh along", "burst out laughing", "burst into laughter",
         "laugh out loud",
         "break into laughter", "laugh with the speaker", "be in fits of laughter", "have a laugh",
         "crack up",
         "find it funny and laugh", "start to laugh", "start laughing", "laugh at the jokes", "snigger"),
        ("laugh|laughs", "chuckle|chuckles", "giggle|giggles", "laughter", "laughing",
         "burst of laughter|bursts of laughter"),
        ("laughter breaks out", "the face laughs", "the listener cannot help laughing", "a laugh escapes"),
        ("heartily", "loudly", "uproariously"), ("quietly", "softly"), ("hearty", "loud"), ("quiet", "soft"),
    ),
    "shake": Phrases(
        ("shake the head", "shake one's head", "shake her head", "shake his head",
         "move the head from side to side",
         "turn the head left and right", "say no with the head", "disagree by shaking the head",
         "wag the head",
         "swing the head from left to right", "shake the head in disbelief", "shake the head in disagreement",
         "shake the head to say no", "reply no with the head",
         "deny with the head", "shake the head no"),
        ("shake of the head|shakes of the head", "head shake|head shakes", "shaking head|shaking heads",
         "headshake|headshakes", "shaking of the head"),
        ("the head shakes", "the head goes from side to side", "the head turns left and right"),
        ("vigorously", "firmly"), ("gently",), ("vigorous", "firm"), ("gentle",),
    ),
    "tilt": Phrases(
        ("tilt the head", "tilt her head", "tilt his head", "cock the head", "lean the head to one side",
         "tip the head", "tilt the head to the side", "bend the head sideways", "hold the head at an angle",
         "incline the head to one side", "put the head on one side", "lay the head to the side",
         "keep the head tilted",
         "lean the head towards a shoulder", "slant the head"),
        ("tilt of the head|tilts of the head", "head tilt|head tilts", "tilted head|tilted heads", "tilting",
         "slanted head|slanted heads", "cocked head|cocked heads", "tilt|tilts"),
        ("the head tilts", "the head leans to one side", "the head is tilted", "the head tips to the side",
         "the head is bent to one side", "the head hangs to the side", "the head is cocked"),
        ("far",), ("gently",), ("deep",), ("gentle",),
    ),
    "frown": Phrases(
        ("frown", "frown at the speaker", "knit the brows", "draw the eyebrows together", "furrow the brow",
         "wrinkle the forehead", "scowl", "pull the brows together", "lower the eyebrows",
         "knit the eyebrows",
         "draw the brows down", "glower", "crease the forehead", "contract the brows", "look grim",
         "furrow the eyebrows",
         "squeeze the eyebrows together"),
        ("frown|frowns", "frowning", "knitted brows", "furrowed brow|furrowed brows", "scowl|scowls",
         "lowered brow|lowered brows", "wrinkled forehead|wrinkled foreheads", "knitted eyebrows",
         "grim look|grim looks"),
        ("the brows draw together", "the forehead wrinkles", "the eyebrows go down", "the brow furrows",
         "a frown appears", "the brows are pulled together", "the brow is furrowed",
         "the forehead is wrinkled", "the eyebrows are lowered", "the eyebrows are knitted"),
        ("darkly", "deeply"), ("gently",), ("deep", "dark"), ("light",),
    ),
    "brow_raise": Phrases(
        ("raise the eyebrows", "raise the brows", "lift the brows", "lift the eyebrows", "raise an eyebrow",
         "lift an eyebrow", "raise her eyebrows", "raise his eyebrows", "pull the eyebrows up",
         "move the brows upwards",
         "push the eyebrows up", "arch the eyebrows", "arch the brows", "flash the eyebrows",
         "put the brows up",
         "show interest with the eyebrows", "keep the brows up"),
        ("raised brow|raised brows", "raised eyebrow|raised eyebrows", "brow raise|brow raises",
         "eyebrow flash|eyebrow flashes",
         "lifted brow|lifted brows", "eyebrow raise|eyebrow raises", "arched eyebrow|arched eyebrows"),
        ("the eyebrows go up", "the brows rise", "the eyebrows rise", "the brows lift",
         "the eyebrows jump up", "the eyebrows are raised", "the eyebrows are lifted", "the brows are up",
         "the brows are arched"),
        ("high",), ("gently",), ("high",), ("gentle",),
    ),
    "surprise": Phrases(
        ("look surprised", "look astonished", "open the eyes wide in surprise", "open the eyes wide", "gasp",
         "make a surprised face", "widen the eyes", "drop the jaw", "let the mouth fall open",
         "look startled",
         "show surprise", "jump in surprise", "look amazed", "be taken aback", "make big eyes",
         "stare with wide eyes",
         "open the mouth in astonishment", "show astonishment", "pull a surprised face", "look stunned"),
        ("look of surprise|looks of surprise", "surprised face|surprised faces", "surprise", "wide eyes",
         "look of astonishment|looks of astonishment", "gasp|gasps", "surprised look|surprised looks",
         "surprised expression|surprised expressions", "astonished face|astonished faces",
         "open mouth|open mouths"),
        ("the eyes open wide", "the jaw drops", "the eyes widen", "the mouth falls open",
         "surprise shows on the face", "the eyes are wide open", "the eyes are opened wide"),
        ("hugely", "utterly"), ("gently",), ("huge", "utter"), ("passing",),
    ),
    "gaze_away": Phrases(
        ("look away", "glance aside", "avert the eyes", "let the gaze wander", "glance away", "look aside",
         "look to the side", "turn the eyes away", "avoid eye contact", "avert the gaze",
         "let the eyes wander",
         "look elsewhere", "look around", "look down", "look at the floor", "look out of the window",
         "gaze into the distance",
         "stare into space", "look past the speaker", "break eye contact", "shift the gaze",
         "look off to the side",
         "turn the gaze aside", "lower the eyes"),
        ("glance aside|glances aside", "gaze aversion", "averted eyes", "wandering gaze|wandering gazes",
         "look away|looks away",
         "averted gaze|averted gazes", "wandering eyes", "look aside|looks aside",
         "glance away|glances away"),
        ("the eyes wander", "the gaze wanders", "the eyes turn away", "the eyes look elsewhere",
         "the gaze drifts away", "the eyes are turned away", "the gaze is averted"),
        ("far",), ("briefly",), ("long",), ("brief", "quick"),
    ),
    "blink": Phrases(
        ("blink", "blink the eyes", "bat the eyelids", "close and open the eyes", "flutter the eyelids",
         "wink",
         "shut the eyes for a moment", "blink with both eyes", "flutter the lashes", "bat the eyelashes",
         "flap the lids"),
        ("blink|blinks", "blinking", "blink of the eyes|blinks of the eyes", "eye blink|eye blinks",
         "flutter of the lids|flutters of the lids"),
        ("the eyes blink", "the eyelids flutter", "the lids close and open", "the eyes close for a moment"),
        ("rapidly", "quickly"), ("slowly",), ("quick",), ("slow",),
    ),
    "posture_shift": Phrases(
        ("shift position", "change posture", "lean sideways", "lean to one side", "shift in the seat",
         "move in the chair",
         "lean back", "lean forward", "change position", "shift posture", "fidget", "rock from side to side",
         "move the body", "sway", "shift the weight", "sit differently", "squirm", "move about",
         "straighten up"),
        ("posture shift|posture shifts", "change of posture|changes of posture", "leaning",
         "shift of position|shifts of position",
         "fidgeting", "change of position|changes of position", "sway of the body|sways of the body"),
        ("the body moves", "the posture changes", "the shoulders shift", "the upper body sways",
         "the body leans sideways"),
        ("visibly",), ("gently",), ("big",), ("gentle",),
    ),
}  # fmt: skip
"""By wish."""

ADJECTIVES = {
    "warm": ("warm", "friendly", "kind", "encouraging", "sympathetic", "warm-hearted", "supportive",
             "affectionate",
             "kindly", "caring", "pleasant", "good-natured", "interested", "understanding", "loving"),
    "neutral": ("neutral", "attentive", "matter-of-fact", "calm", "impassive", "composed", "unemotional",
                "indifferent",
                "dispassionate", "reserved", "businesslike", "objective", "even-tempered", "expressionless"),
    "sceptical": ("sceptical", "doubtful", "unconvinced", "skeptical", "suspicious", "critical",
                  "disbelieving",
                  "mistrustful", "distrustful", "dubious", "incredulous", "wary", "full of doubt"),
    "bored": ("bored", "uninterested", "absent-minded", "inattentive", "weary", "tired", "disinterested",
              "listless",
              "apathetic", "bored to death", "distracted", "unmoved and bored", "sleepy", "fed up"),
    "surprised": ("surprised", "astonished", "amazed", "astounded", "taken by surprise", "stunned",
                  "flabbergasted",
                  "startled", "full of wonder", "bewildered", "thunderstruck"),
}  # fmt: skip
ADVERBS = {
    "warm": ("warmly", "in a friendly way", "with sympathy", "kindly", "encouragingly", "with warmth",
             "sympathetically",
             "with affection", "in a warm manner", "in a kind way", "amicably", "with kindness", "lovingly"),
    "neutral": ("neutrally", "calmly", "in a matter-of-fact way", "attentively", "without emotion",
                "impassively",
                "with a neutral face", "without any expression", "in a neutral manner", "soberly",
                "unemotionally"),
    "sceptical": ("sceptically", "with doubt", "without being convinced", "doubtfully", "skeptically",
                  "with suspicion",
                  "critically", "in disbelief", "with scepticism", "in a sceptical manner", "suspiciously",
                  "with mistrust"),
    "bored": ("without interest", "in a bored way", "absent-mindedly", "listlessly", "with boredom",
              "wearily",
              "inattentively", "without paying attention", "in a bored manner", "apathetically",
              "out of boredom"),
    "surprised": ("with surprise", "in astonishment", "with amazement", "in a surprised way", "in amazement",
                  "with wonder",
                  "in wonder", "with astonishment", "in a surprised manner"),
}  # fmt: skip
STATES = {
    "warm": ("likes the speaker", "feels for the speaker", "shows sympathy", "shows warmth",
             "takes a warm interest",
             "cares about the speaker", "encourages the speaker", "radiates warmth"),
    "neutral": ("shows no emotion", "keeps a straight face", "stays calm", "stays neutral", "keeps calm",
                "just listens",
                "listens quietly", "keeps a poker face", "shows no reaction", "remains composed"),
    "sceptical": ("does not believe a word", "doubts what is said", "has doubts", "mistrusts the speaker",
                  "is hard to convince",
                  "finds it hard to believe", "shows doubt", "does not buy it", "distrusts what is said",
                  "shows scepticism"),
    "bored": ("is about to fall asleep", "pays no attention", "does not pay attention", "loses interest",
              "has no interest",
              "shows boredom", "does not care", "finds it boring", "wants to be elsewhere",
              "dies of boredom"),
    "surprised": ("cannot believe it", "did not expect this", "is in for a surprise",
                  "marvels at what is said",
                  "wonders at the news", "hears something unexpected"),
}  # fmt: skip
"""Statements, third person, that say an attitude; their nots belong to them."""
STILL = ("keep still", "stay still", "hold the head still", "do not move", "sit still",
         "keep the head still", "remain motionless",
         "freeze", "stay motionless", "stop moving", "do not move the head")  # fmt: skip
"""All that moves the head is left out."""
FACING = ("keep looking at the speaker", "look at the speaker", "keep eye contact", "hold eye contact",
          "keep the eyes on the speaker",
          "maintain eye contact", "fix the eyes on the speaker", "look straight at the speaker",
          "look into the camera",
          "watch the speaker closely", "hold the gaze", "stay with the eyes on the speaker")  # fmt: skip
"""Eyes do not look away."""

FACING_TOO = ("look at the speaker", "hold eye contact", "maintain eye contact", "watch the speaker",
              "hold the gaze", "face the speaker", "meet the speaker's eyes", "keep looking at the speaker",
              "keep the eyes on the speaker", "keep facing the speaker", "stay with the eyes on the speaker",
              "look the speaker in the eye", "keep watching", "return the gaze")  # fmt: skip
"""Not to do so is to look away."""

NOT_TO = ("does not", "doesn't", "do not", "don't", "must not", "should not", "shouldn't", "will not",
          "won't", "cannot",
          "may not", "not to", "did not", "is not to", "can't", "would not", "mustn't", "to not",
          "must never", "never",
          "on no account", "under no circumstances", "by no means", "at no time", "refuses to", "forgets to",
          "fails to",
          "is not supposed to", "has no reason to", "not once", "is not allowed to", "at no time does he",
          "on no account should she", "is unable to")  # fmt: skip
"""Before a verb in its base form."""
NOT_DOING = ("without", "without", "without", "not", "no", "avoids", "avoid", "refrains from", "stops",
             "stop", "instead of",
             "is not", "isn't",
             "quit", "without ever", "never", "rather than", "there is no", "leaves out", "aren't",
             "are not", "no more",
             "without so much as", "without even", "far from", "is never", "does without",
             "stays away from")  # fmt: skip
"""Before an -ing form."""
NOT_BEING = ("not", "is not", "isn't", "not at all", "without being", "never", "does not seem",
             "should not look", "don't be",
             "must not be", "anything but", "not too", "no longer", "do not look",
             "not in the least")  # fmt: skip
"""Before an attitude."""
NEVER = ("never", "never", "never ever", "not once", "at no time", "no longer", "never once")
"""Before a third person."""
NONE_OF = ("no {}", "without {}", "without any {}", "not a single {}", "no {} at all", "shows no {}",
           "gives no {}", "zero {}",
           "there is no {}", "never any {}", "there are no {}", "not any {}", "{} not allowed",
           "does not show any {}",
           "avoids {}", "{} are unwanted", "leave out {}", "skip the {}", "nothing like {}", "minus {}",
           "free of {}",
           "{} must not occur", "I do not want any {}", "omit {}", "{} should not happen",
           "none of these: {}", "no more {}",
           "without a {}", "do without {}", "there should not be {}", "forget about {}", "not a {}",
           "without so much as a {}",
           "not a {} to be seen", "no {} to be seen", "not even a {}", "no further {}",
           "not the slightest {}",
           "without the slightest {}", "no {} whatsoever", "in no case a {}", "on no account a {}",
           "no sign of a {}")  # fmt: skip
"""Around a noun."""
LINKS = (
    ", ",
    " and ",
    ", and ",
    "; ",
    " but ",
    ". ",
    ", then ",
    " and then ",
    ", but ",
    " while ",
    " + ",
    " / ",
    ", also ",
)
"""Between two statements."""

LITTLE = ("slightly", "a little", "a bit", "once", "just once", "only a little", "only a bit", "a tiny bit",
          "very little",
          "hardly more than once", "faintly", "mildly", "rarely", "one time", "only once",
          "ever so slightly", "weakly")  # fmt: skip
SOME = ("now and then", "sometimes", "from time to time", "occasionally", "twice", "a few times", "somewhat",
        "moderately",
        "every now and then", "once in a while", "two times", "a couple of times", "now and again",
        "at times")  # fmt: skip
MUCH = ("a lot", "often", "again and again", "all the time", "constantly", "strongly", "very much",
        "repeatedly", "many times",
        "five times", "as much as possible", "clearly", "markedly", "intensely", "frequently",
        "continuously", "very often",
        "over and over", "the whole time", "a great deal", "really hard", "several times", "four times",
        "ten times",
        "without stopping", "very strongly", "non-stop", "more than usual")  # fmt: skip
"""Degrees that follow a verb."""
LITTLE_BEFORE = (
    "slightly",
    "barely",
    "hardly",
    "rarely",
    "seldom",
    "just a little",
    "almost never",
    "hardly ever",
    "scarcely",
)
SOME_BEFORE = ("sometimes", "occasionally", "now and then", "at times")
MUCH_BEFORE = (
    "often",
    "always",
    "constantly",
    "repeatedly",
    "strongly",
    "really",
    "frequently",
    "clearly",
    "continually",
)
"""Degrees that precede a verb."""
SMALL = (
    "slight",
    "small",
    "faint",
    "little",
    "tiny",
    "weak",
    "hint of a",
    "touch of a",
    "trace of a",
    "single",
    "subtle",
)
BIG = ("clear", "big", "marked", "strong", "large", "intense", "great", "real", "distinct")
FEW = ("a few", "some", "two", "occasional", "a couple of", "the odd")
MANY = ("many", "lots of", "plenty of", "a lot of", "frequent", "constant", "five", "numerous", "repeated",
        "several",
        "ten", "loads of", "more", "strong", "as many as possible")  # fmt: skip
"""Degrees of a noun."""
INTENSITIES = (
    (0.35, ("slightly", "mildly", "a little", "a bit", "a touch", "faintly", "vaguely")),
    (0.55, ("somewhat", "moderately", "more or less", "half")),
    (0.75, ("rather", "fairly", "quite", "pretty")),
    (1.0, ("very", "really", "extremely", "deeply", "utterly", "completely", "totally", "so", "terribly")),
)
"""Degrees of an attitude."""

PEOPLE = ("the listener", "a listener", "the person listening", "she", "he", "they", "somebody", "the woman",
          "the man", "it",
          "the person", "the portrait", "someone", "the character", "the head", "the face",
          "you")  # fmt: skip
ORDERS = ("please", "the listener should", "make her", "make him", "let her", "let him", "I want her to",
          "I want him to",
          "have the listener", "she should", "he should", "you should", "let the listener", "it should",
          "they should",
          "I would like the listener to", "the person should", "try to", "be sure to",
          "we need the listener to")  # fmt: skip
"""What precedes a verb in its base form."""
OCCASIONS = ("while the speaker talks", "during the conversation", "while listening", "at the end",
             "at the beginning", "now",
             "in this part", "for a while", "to the speaker", "throughout", "during the whole video",
             "in between", "here",
             "when the speaker pauses", "as the speaker talks", "in reply", "at what is said",
             "from the start", "all along",
             "for a moment", "in this scene", "during this stretch", "at the same time",
             "in the video")  # fmt: skip
"""What is said besides, and asks for nothing."""
STRAYS = (
    "today", "maybe", "perhaps", "actually", "simply", "tomorrow", "somehow", "surely", "certainly", "indeed",
    "well", "there", "here", "this", "that", "these", "our", "my", "his", "her", "everybody", "people",
    "story", "words",
    "talk", "news", "thing", "moment", "way", "like", "as", "if", "when", "because", "since", "though",
    "about", "after",
    "before", "own", "other", "new", "old", "good", "first", "last", "next", "whole", "would", "could",
    "did", "done", "made",
    "seen", "was", "were", "been", "being", "rather", "either", "else", "what", "which", "whose", "how",
    "where", "why", "also",
    "too", "than", "somewhere", "anybody", "anyway", "seriously", "definitely", "obviously", "if possible",
    "thanks",
    "thank you", "ok", "hello", "dear", "scene", "camera", "take", "film", "shot", "actor", "role", "part",
    "line", "answer",
    "question", "course", "for me", "of us", "in case", "with it", "on it", "from her", "by him", "at it",
)  # fmt: skip
"""Words that may stand anywhere, and change nothing."""
FOREIGN = (
    "sing", "wave", "clap the hands", "drink coffee", "stand up", "dance", "jump", "speak", "whistle",
    "write a letter",
    "eat an apple", "cough", "sneeze", "yawn", "hum a tune", "scratch the nose", "touch the hair",
    "read a book", "point a finger",
    "shout", "whisper", "run", "sleep", "type on a keyboard", "cook dinner", "play the piano",
    "climb a tree", "phone a friend",
    "cry", "sob", "kiss", "spit", "swim", "ride a bicycle", "fold the arms", "cross the legs",
    "shrug the shoulders", "snap the fingers",
    "wear a hat", "take notes", "murmur in reply", "say something", "hold a cup", "walk", "rub the chin",
    "open the door", "cheer",
    "applaud", "salute", "bow", "kneel", "juggle", "paint", "argue", "interrupt", "answer the question",
    "count the money",
    "comb the hair", "brush the teeth", "puff the cheeks", "stick out the tongue", "lick the lips",
    "swallow", "breathe", "sigh",
    "snore", "hiccup", "chew gum", "smoke", "throw a ball", "catch a fish", "drive a car", "build a house",
    "wash the dishes",
    "turn green", "grow a beard", "fly", "bark", "meow", "teleport", "explode", "be purple", "vanish",
    "the weather is fine",
    "the dog barks", "a train passes", "buy some bread", "blue", "yellow banana", "music", "mountains",
    "football", "computer",
)  # fmt: skip
"""What nobody can be asked for; their words do not count as learnt."""
