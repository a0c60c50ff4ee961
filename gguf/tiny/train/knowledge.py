"""Questions about the fact tables.  Each function is rng -> (question, answer)."""

from facts import (
    ANIMALS,
    CAPITALS,
    COLORS,
    DAYS,
    DEFINITIONS,
    ELEMENTS,
    MISCELLANEOUS,
    MIXED_COLORS,
    MONTH_DAYS,
    MONTHS,
    OPPOSITE_OF,
    PAST_TENSES,
    PLANETS,
    PLURALS,
    SYNONYMS,
    UNITS,
    WHY,
)
from grammar import ask, with_article


def capital(rng):
    country, city, continent = rng.choice(CAPITALS)
    kind = rng.random()
    if kind < 0.7:
        question = (
            "[What is the capital of {country}?|What is the capital city of {country}?"
            "|Which city is the capital of {country}?|Name the capital of {country}."
            "|Tell me the capital of {country}.|What city is the capital of {country}?"
            "|Can you tell me the capital of {country}?|Do you know the capital of {country}?"
            "|{Country}: what is its capital?|I want to know the capital of {country}.]"
        )
        answer = (
            "[The capital of {country} is {city}.|The capital of {country} is {city}."
            "|The capital of {country} is {city}.|{city} is the capital of {country}.|{city}."
            "|{city} is the capital city of {country}."
            "|The capital of {country} is {city}. It is a city in {continent}.]"
        )
    elif kind < 0.85:
        question = (
            "[{city} is the capital of which country?|Which country has {city} as its capital?"
            "|Of which country is {city} the capital?]"
        )
        answer = "[{city} is the capital of {country}.|{Country}.]"
    else:
        question = (
            "[On which continent is {country}?|Where is {country}?|Which continent is {country} in?"
            "|In which part of the world is {country}?]"
        )
        answer = (
            "[{Country} is in {continent}.|{Country} is a country in {continent}."
            "|{Country} is a country in {continent}. Its capital is {city}.]"
        )
    return ask(rng, question, answer, country=country, city=city, continent=continent)


def element(rng):
    name, symbol, number, kind = rng.choice(ELEMENTS)
    forms = [
        (
            (
                "[What is the chemical symbol for {name}?|What is the symbol of {name}?|Which symbol stands for {name}?"
                "|Give the chemical symbol of {name}.|What is the chemical symbol of {name}?]"
            ),
            "[The chemical symbol for {name} is {symbol}.|The symbol of {name} is {symbol}.|{symbol}.]",
        ),
        (
            (
                "[What is the atomic number of {name}?|How many protons does {name} have?"
                "|Give the atomic number of {name}.]"
            ),
            "[The atomic number of {name} is {number}.|{Name} has atomic number {number}, so it has {number} protons.]",
        ),
        (
            (
                "[Which element has the symbol {symbol}?|What element is {symbol}?"
                "|What does the symbol {symbol} stand for?|The symbol {symbol} stands for which element?]"
            ),
            "[{symbol} is the symbol for {name}.|{symbol} stands for {name}.|{Name}.]",
        ),
        (
            "[Is {name} a metal or a gas?|What kind of element is {name}?|What is {name}?]",
            "[{Name} is {kind}.|{Name} is a chemical element. It is {kind} with the symbol {symbol}.]",
        ),
    ]
    fields = dict(name=name, symbol=symbol, number=number, kind=with_article(kind))
    return [ask(rng, question, answer, **fields) for question, answer in forms][rng.randrange(4)]


SEASONS = [
    ("winter", "December, January and February"),
    ("spring", "March, April and May"),
    ("summer", "June, July and August"),
    ("autumn", "September, October and November"),
]


def calendar(rng):
    kind = rng.randrange(5)
    if kind == 0:
        question = "[What day comes {side} {it}?|Which day is {side} {it}?|What is the day {side} {it}?]"
        return neighbour(rng, DAYS, question, "[The day {side} {it} is {other}.|{other} comes {side} {it}.|{other}.]")
    if kind == 1:
        question = "[What month comes {side} {it}?|Which month is {side} {it}?]"
        return neighbour(rng, MONTHS, question, "[The month {side} {it} is {other}.|{other} comes {side} {it}.]")
    if kind == 2:
        month = rng.randrange(12)
        return ask(
            rng,
            "[How many days are in {month}?|How many days does {month} have?]",
            "[{month} has {days} days{leap}.|There are {days} days in {month}{leap}.]",
            month=MONTHS[month],
            days=MONTH_DAYS[month],
            leap=", or 29 in a leap year" if month == 1 else "",
        )
    if kind == 3:
        season, months = rng.choice(SEASONS)
        return ask(
            rng,
            "[Which months are in {season}?|What are the months of {season}?|When is {season}?]",
            "[In the northern half of the world the months of {season} are {months}."
            "|{months} are the months of {season} in the north.]",
            season=season,
            months=months,
        )
    month = rng.randrange(12)
    return ask(
        rng,
        "[Which month is number {number} of the year?|What is month number {number}?]",
        "Month number {number} of the year is {month}.",
        number=month + 1,
        month=MONTHS[month],
    )


def neighbour(rng, names, question, answer):
    """Which day or month comes before or after another one."""
    at = rng.randrange(len(names))
    after = rng.random() < 0.6
    other = names[(at + (1 if after else -1)) % len(names)]
    return ask(rng, question, answer, side="after" if after else "before", it=names[at], other=other)


def animal(rng):
    name, legs, sound, food, young, home, group = rng.choice(ANIMALS)
    question, answer = [
        (
            "[What does {it} eat?|What do you feed {it}?|What is the food of {it}?]",
            "[{It} eats {food}.|{It} mostly eats {food}.]",
        ),
        (
            "[How many legs does {it} have?|Tell me how many legs {it} has.]",
            (
                "[{It} has no legs.|{It} does not have any legs.]"
                if legs == "0"
                else "[{It} has {legs} legs.|{legs} legs.]"
            ),
        ),
        ("[What sound does {it} make?|What does {it} say?|What noise does {it} make?]", "{It} {sound}."),
        (
            "[What is a baby {name} called?|What do you call a young {name}?|What is the name of a baby {name}?]",
            "[A baby {name} is called {young}.|A young {name} is called {young}.]",
        ),
        (
            "[Where does {it} live?|Where can you find {it}?|Where do you usually find {it}?]",
            "[{It} lives {home}.|{It} usually lives {home}.]",
        ),
        (
            "[What kind of animal is {it}?|What is {it}?|Is {it} a mammal or a bird?|What type of animal is {it}?]",
            "[{It} is {group}.|{It} is {group}. It lives {home} and eats {food}.]",
        ),
    ][rng.randrange(6)]
    fields = dict(name=name, it=with_article(name), legs=legs, sound=sound, food=food, home=home)
    return ask(rng, question, answer, young=with_article(young), group=with_article(group), **fields)


def words(rng):
    # about as many shares as facts
    kinds = [opposite, synonym, plural, past_tense, color, mixed_color]
    return kinds[rng.choices(range(6), [80, 22, 30, 24, 20, 6])[0]](rng)


def opposite(rng):
    word, other = rng.choice(list(OPPOSITE_OF.items()))
    if rng.random() < 0.1:
        return f"Is {word} the opposite of {other}?", f"Yes, the opposite of {word} is {other}."
    return ask(
        rng,
        "[What is the opposite of {word}?|What is the opposite of {word}?|What is the opposite of {word}?"
        "|Give the opposite of {word}.|Name the opposite of {word}.|What is an antonym of {word}?"
        "|Which word means the opposite of {word}?|Tell me the opposite of {word}.|{Word}: what is the opposite?]",
        "[The opposite of {word} is {other}.|The opposite of {word} is {other}."
        "|The opposite of {word} is {other}.|{Other}.]",
        word=word,
        other=other,
    )


def synonym(rng):
    word, other = rng.choice(SYNONYMS)
    return ask(
        rng,
        "[What is a synonym of {word}?|What is a synonym for {word}?|What is another word for {word}?"
        "|What is another word for {word}?|Give a word that means the same as {word}."
        "|Which word means the same as {word}?]",
        "[Another word for {word} is {other}.|A synonym of {word} is {other}.]",
        word=word,
        other=other,
    )


def plural(rng):
    word, other = rng.choice(PLURALS)
    return ask(
        rng,
        "[What is the plural of {word}?|What is the plural of {word}?|Give the plural form of {word}."
        "|What is the plural form of {word}?|Write {word} in the plural.|One {word}, two what?]",
        "[The plural of {word} is {other}.|The plural of {word} is {other}.|The plural of {word} is {other}.|{Other}.]",
        word=word,
        other=other,
    )


def past_tense(rng):
    word, other = rng.choice(PAST_TENSES)
    return ask(
        rng,
        "[What is the past tense of {word}?|Give the past tense of {word}.|What is the past form of {word}?]",
        "The past tense of {word} is {other}.",
        word=word,
        other=other,
    )


def color(rng):
    thing, name = rng.choice(COLORS)
    return ask(
        rng,
        "[What color is {thing}?|What color is {thing}?|Which color does {thing} have?|What is the color of {thing}?"
        "|What colour is {thing}?|Tell me the color of {thing}.]",
        "[{Thing} is {name}.|{Thing} is {name}.|{Thing} is {name}.|{Name}.]",
        thing=thing,
        name=name,
    )


def mixed_color(rng):
    one, two, result = rng.choice(MIXED_COLORS)
    return ask(
        rng,
        "[What color do you get when you mix {one} and {two}?|Which color do {one} and {two} make?]",
        "[When you mix {one} and {two} you get {result}.|{One} and {two} make {result}.]",
        one=one,
        two=two,
        result=result,
    )


PLANET_RECORDS = [
    ("Which planet is the largest?", "Jupiter is the largest planet in the solar system."),
    ("Which planet is called the Red Planet?", "Mars is called the Red Planet."),
    ("Which planet is the hottest?", "Venus is the hottest planet."),
    ("Which planet is famous for its rings?", "Saturn is famous for its bright rings."),
    ("What is the largest planet in the solar system?", "Jupiter is the largest planet in the solar system."),
    ("What is the smallest planet?", "Mercury is the smallest planet."),
    ("Which planet is closest to the Sun?", "Mercury is the closest planet to the Sun."),
    ("Which planet is farthest from the Sun?", "Neptune is the farthest planet from the Sun."),
]


def space(rng):
    name, order, text = rng.choice(PLANETS)
    if rng.random() >= 0.7:
        return rng.choice(PLANET_RECORDS)
    forms = [
        (
            "[What is {name}?|Tell me about {name}.|What do you know about {name}?]",
            "{name} is the {order} planet from the Sun. It is {text}.",
        ),
        (
            "[Which planet is the {order} from the Sun?|Name the {order} planet from the Sun.]",
            "[The {order} planet from the Sun is {name}.|{name} is the {order} planet from the Sun.]",
        ),
    ]
    return [ask(rng, *form, name=name, order=order, text=text) for form in forms][rng.randrange(2)]


def units(rng):
    parts, whole, count = rng.choice(UNITS)
    return ask(
        rng,
        "[How many {parts} are there in {whole}?|How many {parts} are in {whole}?|How many {parts} does {whole} have?]",
        "[There are {count} {parts} in {whole}.|{Whole} has {count} {parts}.|{Count}.]",
        parts=parts,
        whole=whole,
        count=count,
    )


def miscellaneous(rng):
    return rng.choice(MISCELLANEOUS)


def definition(rng):
    word, meaning = rng.choice(DEFINITIONS)
    bare = word.split(" ", 1)[1] if word.startswith(("a ", "an ")) else word
    return ask(
        rng,
        "[What is {word}?|What is {word}?|Define {bare}.|Explain what {word} is.|What does the word {bare} mean?"
        "|Can you explain what {word} is?|Give a short definition of {bare}.|Explain {word} in simple words."
        "|In one sentence, what is {word}?]",
        "[{Word} is {meaning}.|{Word} is {meaning}.|In simple words, {word} is {meaning}.]",
        word=word,
        meaning=meaning,
        bare=bare,
    )


def why(rng):
    question, answer = rng.choice(WHY)
    return ask(
        rng,
        "[Why {question}?|Why {question}?|Can you explain why {fact}?|Explain why {fact}.|Tell me why {fact}."
        "|Question for science class: why {question}?]",
        answer,
        question=question,
        fact=statement(question),
    )


THIRD_PERSON = {
    "the Moon change shape": "the Moon changes shape",
    "it rain": "it rains",
    "ice float on water": "ice floats on water",
}


def statement(question):
    """'is the sky blue' -> 'the sky is blue'; 'do we sleep' -> 'we sleep'."""
    verb, rest = question.split(" ", 1)
    if verb == "do":
        return rest
    if verb == "does":
        return THIRD_PERSON[rest]
    parts = rest.split(" ")
    cut = 2 if parts[0] == "the" else 1
    return " ".join([*parts[:cut], verb, *parts[cut:]])
