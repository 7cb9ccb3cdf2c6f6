"""The words of small talk: tables for the grammar of `headgen.synth.speech.texts`."""

from __future__ import annotations

FILLERS = (
    "um,", "uh,", "er,", "well,", "you know,", "I mean,", "like,", "so,", "hmm,", "let me think,",
    "how do I put it,", "sort of,", "anyway,", "right, so,", "okay,", "oh,", "actually,", "basically,",
)  # fmt: skip

TOPICS = {
    "trip": "neutral",
    "meal": "happy",
    "work": "neutral",
    "weather": "neutral",
    "friend": "neutral",
    "good_news": "happy",
    "bad_news": "sad",
    "surprise": "surprised",
    "opinion": "neutral",
    "plan": "happy",
    "complaint": "sad",
    "memory": "sad",
    "list": "neutral",
    "advice": "neutral",
    "animal": "happy",
    "joke": "happy",
    "ask": "neutral",
    "learning": "neutral",
    "purchase": "surprised",
    "recipe": "neutral",
}
"""What is talked about, and the sentiment that it mostly has."""

GRAMMAR: dict[str, tuple[str, ...]] = {
    # People, places, things.
    "person": (
        "my sister", "my brother", "my neighbour", "my cousin", "my boss", "my best friend", "my aunt",
        "my grandfather", "an old friend", "my flatmate", "the woman next door", "my uncle",
        "a man from work", "my daughter", "my father", "somebody I know", "our teacher", "my mother",
        "this guy from the gym",
    ),
    "name": (
        "Bob", "Pam", "Peter", "Maria", "Paul", "Emma", "Tom", "Mabel", "Phoebe", "Victor", "Ruby", "Amir",
        "Yoko", "Ben", "Olive", "Frank", "Mina", "Felix", "Bobby", "Priya", "Thomas", "Wanda", "Moses",
    ),
    "who": (
        "{person}", "{name}", "{person}", "{name} from {place}",
    ),
    "place": (
        "Paris", "the mountains", "the beach", "Brighton", "the market", "a tiny village", "the museum",
        "Vermont", "the old town", "Mumbai", "a farm", "the library", "Boston", "the woods", "the harbour",
        "my parents' house", "Bavaria", "the office", "the swimming pool", "the station", "a big park",
    ),
    "when": (
        "last week", "yesterday", "on Monday", "a month ago", "this morning", "in the summer",
        "last Friday", "two years ago", "the other day", "over the weekend", "in November", "after lunch",
        "before Easter",
    ),
    "soon": (
        "tomorrow", "next week", "on Sunday", "in a month or so", "this evening", "next summer",
        "when the weather is better", "as soon as I can", "after the holidays", "at some point",
    ),
    "number": (
        "two", "three", "four", "five", "six", "about ten", "twelve", "fifty", "a hundred", "maybe eight",
    ),
    "span": (
        "{number} days", "{number} hours", "{number} weeks", "ten minutes", "half a day", "{number} years",
    ),
    "good": (
        "wonderful", "beautiful", "brilliant", "lovely", "perfect", "amazing", "very funny", "really good",
        "better than I thought", "so much fun", "fabulous", "quite something", "a pleasure",
    ),
    "bad": (
        "awful", "boring", "a bit much", "really bad", "terrible", "a mess", "painful", "far too slow",
        "very disappointing", "unbelievable", "rather sad", "not what I wanted",
    ),
    "adjective": (
        "big", "small", "blue", "old", "new", "beautiful", "empty", "purple", "warm", "expensive", "simple",
        "strange", "perfect", "famous", "broken", "heavy", "open", "quiet", "bright",
    ),
    "object": (
        "bicycle", "umbrella", "camera", "piano", "table", "book", "lamp", "violin", "computer", "map",
        "telephone", "painting", "coat", "box of apples", "sofa", "tent", "boat", "pair of boots", "mirror",
    ),
    "food": (
        "soup", "apple pie", "a bowl of rice", "fresh bread", "pumpkin", "a plate of pasta", "fried fish",
        "tomato salad", "pancakes", "plum jam", "roast potatoes", "mushrooms", "cheese and olives",
        "peppers with beans", "banana cake", "a huge omelette", "lamb and mint", "warm milk with honey",
    ),
    "ingredient": (
        "butter", "flour", "two eggs", "a bit of salt", "pepper", "an onion", "some lemon", "olive oil",
        "fresh herbs", "a cup of milk", "tomatoes", "a spoon of sugar", "mushrooms", "some parmesan",
    ),
    "weather_is": (
        "it was raining the whole time", "the sun came out", "it was so windy", "we had a lot of snow",
        "it was far too hot", "it was foggy all morning", "there was a huge storm", "it was mild and calm",
    ),
    "vehicle": (
        "train", "bus", "ferry", "car", "plane", "bicycle", "boat", "tram",
    ),
    "animal_name": (
        "puppy", "cat", "parrot", "pony", "rabbit", "old dog", "goat", "hamster", "duck", "fox",
    ),
    "activity": (
        "play the piano", "swim", "paint", "bake bread", "speak Portuguese", "take photographs",
        "ride a horse", "build a table", "grow tomatoes", "sing in a choir", "run a marathon",
        "fix bicycles", "play chess",
    ),
    "doing": (
        "reading a book", "cooking for everybody", "walking along the river", "watching a film",
        "cleaning up", "talking about the past", "moving house", "waiting for the bus", "playing football",
        "painting a wall", "working in the garden", "listening to music", "looking for my keys",
        "making a cup of tea",
    ),
    "thing_at_work": (
        "the budget", "this new project", "the meeting", "a report", "the computer system",
        "the plan for March", "an important phone call", "the presentation", "the whole team",
        "a problem with the printer",
    ),
    "feeling": (
        "happy", "proud", "relieved", "excited", "grateful", "pleased", "calm",
    ),
    "sad_feeling": (
        "upset", "lonely", "worried", "tired", "disappointed", "a bit lost", "sorry",
    ),
    "theme": (
        "working from home", "early mornings", "modern art", "long walks", "public transport", "big cities",
        "old films", "social media", "small villages", "fast food", "winter", "football", "opera",
        "camping", "museums", "learning languages", "video calls", "loud music", "keeping bees",
        "open offices",
    ),
    "shop_thing": (
        "a {adjective} {object}", "a {object}", "this {adjective} {object}", "{number} books",
    ),
    # Ways to begin, to go on, to check that one is followed.
    "begin": (
        "So,", "Well,", "You know what?", "Okay, so", "Listen,", "Let me tell you.", "Right,",
        "Funny thing,", "Oh, before I forget,", "Guess what.", "By the way,",
    ),
    "then": (
        "and then", "so then", "after that,", "and, well,", "and suddenly", "a bit later", "and in the end",
    ),
    "check": (
        "You know what I mean?", "Right?", "Do you see?", "Isn't that *funny*?", "Can you *imagine*?",
        "Does that make sense?", "Have you ever had that?", "Don't you think?", "Do you remember?",
    ),
    "very": (
        "*really*", "*so*", "*very*", "absolutely", "*incredibly*", "pretty", "*extremely*",
    ),
    "laugh": (
        "ha ha ha!", "ha ha ha ha!", "ha ha!",
    ),
    # Topics.
    "trip": (
        "{begin} | {when} we went to {place.1} by {vehicle}. || It took {span}, | but it was {very} "
        "{adjective} and {good}. || {weather_is}, | {then} we spent the afternoon {doing}. || {check}",
        "I have *never* been to {place.1} before, | so {when} {who.1} and I just bought a ticket | and "
        "went there. || <happy> It was {good}! || <neutral> Have *you* ever been there?",
        "We wanted to go to {place.1} {when}, | but the {vehicle} was {span} late, | and {weather_is}. ||"
        " So we stayed at home, | {doing}. || {maybe}",
        "{begin} | how do you get to {place.1} from here? || Do you take the {vehicle}, | or do you "
        "*walk*? || Because {who} told me | that it takes {span}. || <surprised> That can't be right!",
    ),
    "maybe": (
        "Maybe next time.", "Perhaps it was better that way.", "It is what it is.", "I didn't mind at all.",
    ),
    "meal": (
        "{begin} | {who.1} made {food.1} {when}, | and I have to say, || <happy> it was {very} {good}. ||"
        " I ate *{number}* plates of it! | {laugh} || <neutral> I should ask for the recipe.",
        "What I *love* is {food.1}, | with {ingredient.1} and {ingredient}. || {who} thinks | that it "
        "needs more {ingredient}, | but I don't believe that. || {check}",
        "There is a new place near {place}. || They have {food}, | and {food}, | and the *best* {food.1} "
        "in town. || <happy> We should go there {soon}! || <neutral> Are you free?",
    ),
    "work": (
        "{begin} | {thing_at_work.1} was {bad} {when}. || We talked about it for {span}, | and nobody "
        "knew what to do. || {then} {who} said | that we could *simply* start again. || <surprised> And "
        "everybody agreed!",
        "At the moment | I'm busy with {thing_at_work}. || It means a lot of {doing}, | and {very} little"
        " sleep. || But in {span} it will be over, | and then I'm going to {place}.",
        "My boss asked me about {thing_at_work} {when}. || Now, | I had *no* idea what to say. || So I "
        "talked about {theme} for {span}. | {laugh} || <happy> Nobody noticed a thing.",
        "Do you know {who.1}? || We work together on {thing_at_work}, | and it's {good}. || <neutral> The"
        " only problem is {theme}. || We *never* agree on that.",
    ),
    "weather": (
        "{begin} | {weather_is} {when}, | and I had left my umbrella in {place}. || By the time I got "
        "home, | I was *completely* wet. || {check}",
        "They say | that it will be {adjective} and warm {soon}. || But they *always* say that, | and "
        "then it pours for {span}. || I would not bet on it.",
        "I don't mind the cold, | but {when} it was {very} {bad}. || {weather_is}, | and the {vehicle} "
        "did not come for {span}.",
    ),
    "friend": (
        "{begin} | I met {who.1} {when}, | {doing}. || We had not seen each other for {span}. || <happy> "
        "It was {good}! || <neutral> We spoke about {theme}, | about {theme}, | and about the time in "
        "{place}.",
        "Do you remember {name.1}? || The one with the {adjective} {object}? || Well, | {name.1} lives in"
        " {place} now, | and wants to {activity}. || <surprised> *Imagine* that!",
        "{who.1} called me {when}. || At first I thought | it was about {thing_at_work}, | but *no*. || "
        "It was about {theme}. || We talked for {span}.",
    ),
    "good_news": (
        "<happy> {begin} | I have *such* good news! || {who.1} is going to {activity} in {place}! || I'm "
        "{very} {feeling}. || We have been waiting for this for {span}.",
        "<happy> It *worked*! || After {span} of {doing}, | {thing_at_work.1} is finally done. | {laugh} "
        "|| I feel {feeling}, | and tonight I'm having {food}. || Do you want to come?",
        "<happy> You won't believe it, | but I won a {adjective} {object}! || At {place}, | {when}. || I "
        "*never* win anything. || <surprised> Never! || <neutral> So now I need room for it.",
    ),
    "bad_news": (
        "<sad> {begin} | {when} I heard | that {who.1} is not well. || I felt {very} {sad_feeling}. || We"
        " used to go to {place} together, | {doing}. || <neutral> I hope it gets better {soon}.",
        "<sad> I lost my {object.1} {when}. || It was {very} {adjective}, | and I had it for {span}. || I"
        " looked for it in {place}, | I asked {who}, | but it's *gone*.",
        "<sad> We had to cancel the trip to {place}. || {weather_is}, | and {who} was ill. || Everybody "
        "was {sad_feeling}. || <neutral> Perhaps we can try again {soon}.",
    ),
    "surprise": (
        "<surprised> You will *never* guess | who I saw in {place}! || {name.1}! || With a {adjective} "
        "{animal_name}! || <neutral> I just stood there for {span}. | {check}",
        "{begin} | I opened the door {when}, | and there was a {animal_name.1} in the kitchen. || "
        "<surprised> A {animal_name.1}! || Eating my {food}! | {laugh}",
        "<surprised> Did you *know* | that {who.1} can {activity}? || I had no idea! || <neutral> "
        "Apparently it takes {span} to learn it.",
    ),
    "opinion": (
        "Honestly, | I think {theme.1} is {good}. || Not everybody agrees, | {who} for example finds it "
        "{bad}. || But if you try it for {span}, | you *understand*. || {check}",
        "I used to think | that {theme.1} was {bad}. || {then} I read about it, | and I changed my mind. "
        "|| *Now* I would say it's {good}. || What do *you* think?",
        "If you ask me, | {theme} is *much* better than {theme}. || It's simple, | it's cheap, | and it "
        "makes people {feeling}.",
        "The thing about {theme.1} is this. || On the one hand, | it's {good}. || On the *other* hand, | "
        "it's {bad}, | and it takes {span}. || I can't decide.",
    ),
    "plan": (
        "{begin} | {soon} I want to go to {place.1}. || First I'm going to buy a {object}, | {then} I'll "
        "pack {food}, | and *off* we go. || <happy> It will be {good}! || <neutral> Would you like to "
        "come with us?",
        "<happy> I have decided to {activity}! || {soon}, | with {who.1}. || <neutral> People say | that "
        "it takes {span}, | but I'm not in a hurry.",
        "We are thinking of {doing} {soon}. || Maybe at {place}, | maybe at home. || What matters is | "
        "that *everybody* comes.",
    ),
    "complaint": (
        "<sad> {begin} | I waited for {span} at {place.1}. || And then? || *Nothing*. || They told me | "
        "that the {object} was broken. || It's {bad}.",
        "I bought {shop_thing} {when}, | and it's {bad}. || It *never* works. || <sad> I called them "
        "{number} times, | and each time they told me to wait for {span}. || {check}",
        "You know what I *don't* like? || {theme}. || It's {very} {bad}, | and still everybody does it. "
        "|| I would rather spend {span} {doing}.",
    ),
    "memory": (
        "<sad> When I was small, | we lived in {place.1}. || My grandmother would make {food}, | and we "
        "sat there, | {doing}. || I *miss* that. || <neutral> It must be {number} years ago.",
        "I found an old photograph of {who.1} {when}. || In {place}, | with a {adjective} {object}. || "
        "<happy> We looked so funny! | {laugh} || <sad> That was a {adjective} time.",
        "I still remember the first time I tried to {activity}. || I was {very} bad at it. || {name} was "
        "there, | and {name}, | and we *laughed* for {span}.",
    ),
    "list": (
        "We need {ingredient}, | {ingredient}, | {food}, | and {shop_thing}. || Oh, | and a {object}! || "
        "Did I forget anything?",
        "There are {number} things I want to do {soon}. || Go to {place}, | {activity}, | call {who}, | "
        "and *finally* finish {thing_at_work}.",
        "Everybody came. || {name}, | {name}, | {name}, | {person}, | even {person} | with the "
        "{animal_name}! || <happy> It was {good}.",
    ),
    "advice": (
        "If I were you, | I would start by {doing}. || Give it {span}. || *Then* you can still go to "
        "{place} | or ask {who}. || {check}",
        "My advice is simple. || *Never* buy a {object} in {place}, | always bring {food}, | and don't "
        "talk about {theme}. | {laugh}",
        "You could ask {who.1}, | who knows *everything* about {theme}. || Or you wait for {span}. || "
        "What would you prefer?",
    ),
    "animal": (
        "<happy> We have a {animal_name.1} now! || It's {adjective}, | it's {very} {adjective}, | and it "
        "eats {food} all day. || {who} calls it {name}. | {laugh}",
        "{begin} | the {animal_name.1} of {who} ran away {when}. || We looked for it for {span}. || "
        "<surprised> And *where* was it? || In {place}, | {doing}! | {laugh}",
        "Do you like animals? || I have always wanted a {animal_name}, | but {who} says | that a "
        "{animal_name} is {very} {bad}.",
    ),
    "joke": (
        "<happy> {begin} | {who.1} tried to {activity} {when}. || After {span}, | there was {food} on the"
        " ceiling! | {laugh} || I have *never* laughed so much.",
        "<happy> So there we are, | in {place}, | {doing}, | and {name} asks, | is this your "
        "{animal_name}? | {laugh} || I could not *breathe*!",
    ),
    "ask": (
        "What about you? || Have you ever tried to {activity}? || Or been to {place}? || I'm asking | "
        "because {who} told me | it was {good}.",
        "Can I ask you something? || What do you think of {theme}? || *I* like it, | but {who} thinks | "
        "it's {bad}.",
        "How was your week? || Mine was {very} {adjective}. || I spent {span} {doing}, | and the rest on "
        "{thing_at_work}.",
        "Would you rather {activity}, | or spend {span} with a {animal_name}? || <happy> I know what *I* "
        "would do! | {laugh}",
    ),
    "learning": (
        "I have been learning to {activity} for {span}. || At first it was {bad}, | but *slowly* it gets "
        "better. || {who} helps me. || The trick is | to do a bit every day.",
        "{begin} | yesterday I read a book about {theme.1}. || It says | that people who like {theme.1} "
        "are more {feeling}. || I'm not *sure* about that. || {check}",
    ),
    "purchase": (
        "<surprised> Do you know what a {object.1} costs these days? || *{number}* thousand! || <neutral>"
        " I was going to buy one {when}, | but now I'd rather keep my old one.",
        "{begin} | I found a {adjective} {object.1} {when}, | in {place}. || It was *so* cheap! || "
        "<happy> I took it home by {vehicle}, | and everybody looked at me. | {laugh}",
    ),
    "recipe": (
        "It's easy. || You take {ingredient}, | {ingredient}, | and {ingredient}. || You mix "
        "*everything*, | you wait for ten minutes, | {then} you put it in the oven. || <happy> And you "
        "have {food}!",
        "The secret of {food} is {ingredient.1}. || Most people forget the {adjective} part. || You must "
        "*never* boil it. || {who} taught me that in {place}.",
    ),
}  # fmt: skip
"""Alternatives by name."""
