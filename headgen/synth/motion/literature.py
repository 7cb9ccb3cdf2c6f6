"""What others have published about how heads, eyes and faces move.

Figures as far as they can be compared with what `headgen.synth.motion.statistics` measures, in our own words.
Checked against the publication's own abstract: Bentivoglio, Doughty, Chandrasekaran and Mori. Known from
others who cite them: Hadar's classes, Argyle and Cook's shares. The remaining figures are given from memory
and want checking before they are cited elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One published figure.

    Attributes:
        statistic: what it is about; a name of `statistics.summarise`, or of `report.gesture_figures`.
        role: ``speaking``, ``listening`` or ``any``: whom it holds for.
        low, high: the range stated, equal for a single value.
        source: authors, year, title.
        says: what was found, in our words.
    """

    statistic: str
    role: str
    low: float
    high: float
    source: str
    says: str

    @property
    def middle(self) -> float:
        """The value to compare with: the middle of the range."""
        return (self.low + self.high) / 2


BENTIVOGLIO = "Bentivoglio et al. 1997, Analysis of blink rate patterns in normal subjects"
DOUGHTY = "Doughty 2001, Consideration of three types of spontaneous eyeblink activity in normal humans"
CAFFIER = "Caffier et al. 2003, Experimental evaluation of eye-blink parameters as a drowsiness measure"
VANDERWERF = "VanderWerf et al. 2003, Eyelid movements: behavioral studies of blinking in humans"
STERN = "Stern, Walrath and Goldstein 1984, The endogenous eyeblink"
BAHILL = "Bahill, Clark and Stark 1975, The main sequence, a tool for studying human eye movements"
CARPENTER = "Carpenter 1988, Movements of the eyes"
EVINGER = "Evinger et al. 1994, Not looking while leaping: the linkage of blinking and saccadic gaze shifts"
ARGYLE = "Argyle and Cook 1976, Gaze and mutual gaze"
KENDON = "Kendon 1967, Some functions of gaze-direction in social interaction"
HADAR_KINEMATICS = "Hadar et al. 1983, Kinematics of head movements accompanying speech during conversation"
HADAR_LISTENING = "Hadar, Steiner and Rose 1985, Head movement during listening turns in conversation"
MORI = "Mori, Den and Jokinen 2025, Structure of nods in conversation"
CHANDRASEKARAN = "Chandrasekaran et al. 2009, The natural statistics of audiovisual speech"
PROVINE = "Provine and Yong 1991, Laughter: a stereotyped human vocalization"
EKMAN = "Ekman and Friesen 1982, Felt, false, and miserable smiles"
FLASH = "Flash and Hogan 1985, The coordination of arm movements"

LITERATURE = (
    Figure(
        "blinks per minute", "speaking", 26, 26, BENTIVOGLIO,
        "26 a minute while talking freely, 17 at rest, 4.5 while reading; rates of people are log-normal",
    ),
    Figure("blinks per minute", "listening", 17, 17, BENTIVOGLIO, "17 a minute at rest"),
    Figure(
        "blinks per minute", "speaking", 10.5, 32.5, DOUGHTY,
        "95 % of adults blink 10.5 to 32.5 times a minute in conversation, 8 to 21 looking ahead silently",
    ),
    Figure(
        "blink duration at half closure, s", "any", 0.1, 0.2, CAFFIER,
        "blinks of alert people last about .2 s in all, longer and with slower reopening when drowsy; half "
        "of the way down and back up leaves somewhat less",
    ),
    Figure(
        "blink closing, whole phase, s", "any", 0.092, 0.092, VANDERWERF,
        "spontaneous blinks: about 92 ms down, 242 ms up",
    ),
    Figure(
        "blink opening, whole phase, s", "any", 0.242, 0.242, VANDERWERF,
        "spontaneous blinks: about 92 ms down, 242 ms up",
    ),
    Figure(
        "saccade of 10 degrees, s", "any", 0.043, 0.043, CARPENTER,
        "21 ms and 2.2 ms more for every degree",
    ),
    Figure(
        "saccade of 10 degrees, peak deg/s", "any", 300, 500, BAHILL,
        "peak speed rises with size, bending off towards its limit above 15 to 20 degrees",
    ),
    Figure(
        "gaze aversion share", "listening", 0.25, 0.25, ARGYLE,
        "listeners look at the speaker for 75 % of the time, in looks of about 3 s",
    ),
    Figure(
        "gaze aversion share", "speaking", 0.41, 0.59, ARGYLE,
        "speakers look at the listener for 41 % of the time; Kendon (1967) found about half, less at the "
        "start of an utterance",
    ),
    Figure(
        "nods, Hz", "any", 1.9, 3.6, HADAR_KINEMATICS,
        "head movements of speakers and listeners: slow .2 to 1.8 Hz, ordinary 1.9 to 3.6, rapid 3.7 to 7",
    ),
    Figure(
        "mouth opening rate, Hz", "speaking", 2, 7, CHANDRASEKARAN,
        "mouth area and voice envelope are both modulated at 2 to 7 Hz",
    ),
    Figure(
        "laughter, Hz", "any", 4.76, 4.76, PROVINE, "a note every 210 ms, loudness falling along the row"
    ),
    Figure("smile, s", "any", 0.67, 4, EKMAN, "felt smiles last two thirds of a second to four seconds"),
)  # fmt: skip
"""Figures that something generated is compared with."""

QUALITATIVE = {
    STERN: "closing takes about .1 s; closures beyond .5 s are no blinks",
    EVINGER: "the larger a gaze shift, the likelier a blink comes with it",
    KENDON: "people look away as they begin to speak and back as they come to an end",
    HADAR_LISTENING: "listeners' yes and no are cyclic; wide linear movements come in the speaker's pauses",
    MORI: "rows of nods begin larger the longer they are, shrink, and end with one smaller still",
    FLASH: "smooth point-to-point movements follow the minimum-jerk course",
}
"""What shaped the generators without a figure to compare."""
