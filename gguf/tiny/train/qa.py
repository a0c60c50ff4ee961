"""All families of exercises with their shares, and a fixed round of plain questions."""

import knowledge
import sums
import writing
from facts import (
    ADVICE,
    ANIMALS,
    CAPITALS,
    COLORS,
    DEFINITIONS,
    ELEMENTS,
    HAIKU,
    LISTS,
    MISCELLANEOUS,
    OPPOSITE_OF,
    PLURALS,
    UNITS,
    WHY,
)
from grammar import capitalize, expand, join_and, with_article
from selfinfo import self_item

# family -> share
FAMILIES = {
    knowledge.capital: 9,
    knowledge.element: 7,
    sums.arithmetic: 21,
    sums.word_problem: 6,
    sums.compare: 4,
    knowledge.calendar: 5,
    knowledge.animal: 11,
    knowledge.words: 17,
    knowledge.space: 3,
    knowledge.units: 4,
    knowledge.miscellaneous: 7,
    knowledge.definition: 9,
    knowledge.why: 8,
    writing.advice: 7,
    writing.listing: 4,
    writing.haiku: 3,
    writing.analogy: 5,
    writing.sentiment: 2,
    writing.odd_one_out: 2,
    writing.thank_you_note: 1.5,
    self_item: 6,
}


def any_family(rng):
    return rng.choices(list(FAMILIES), list(FAMILIES.values()))[0]


def any_item(rng):
    return any_family(rng)(rng)


def make_round(rng, longest=28):
    """A fixed long round of questions on changing topics.  Many documents walk along a part of it, so that a greedy
    run-on goes from topic to topic instead of falling back to a few favourites.  Its items are functions rng ->
    (question, answer), because some answers vary."""
    why = [varied(f"Why {question}?", lambda rng, answer=answer: expand(rng, answer)) for question, answer in WHY]
    topics = [why, *fact_topics(), *sum_topics(rng), *writing_topics()]
    for topic in topics:
        rng.shuffle(topic)
        del topic[longest:]
    items = []
    while any(topics):
        order = [topic for topic in topics if topic]
        rng.shuffle(order)
        items += [topic.pop() for topic in order]
    return items


def plain(question, answer):
    return lambda _: (question, answer)


def varied(question, make_answer):
    return lambda rng: (question, make_answer(rng))


def fact_topics():
    opposites = list(OPPOSITE_OF.items())[:42]
    return [
        [plain(question, answer) for question, answer in MISCELLANEOUS],
        [plain(f"What is {word}?", f"{capitalize(word)} is {meaning}.") for word, meaning in DEFINITIONS],
        [plain(f"What is the capital of {land}?", f"The capital of {land} is {city}.") for land, city, _ in CAPITALS],
        [
            plain(f"What is the chemical symbol for {name}?", f"The chemical symbol for {name} is {symbol}.")
            for name, symbol, _, _ in ELEMENTS
        ],
        [plain(f"What is the opposite of {a}?", f"The opposite of {a} is {b}.") for a, b in opposites],
        [plain(f"What is the plural of {one}?", f"The plural of {one} is {two}.") for one, two in PLURALS],
        [plain(f"What color is {thing}?", f"{capitalize(thing)} is {name}.") for thing, name in COLORS],
        [
            plain(f"What is a baby {name} called?", f"A baby {name} is called {with_article(young)}.")
            for name, _, _, _, young, _, _ in ANIMALS
        ],
    ]


def sum_topics(rng):
    additions = [(rng.randint(2, 20), rng.randint(2, 20)) for _ in range(24)]
    products = [(rng.randint(2, 12), rng.randint(2, 12)) for _ in range(16)]
    return [
        [plain(f"What is {a} + {b}?", f"{a} + {b} = {a + b}.") for a, b in additions],
        [plain(f"What is {a} * {b}?", f"{a} * {b} = {a * b}.") for a, b in products],
    ]


def writing_topics():
    def tips_for(goal, tips):
        return lambda rng: f"To {goal}, you can {join_and(rng.sample(tips, 3))}."

    return [
        [
            varied(f"Write a haiku about {topic}.", lambda rng, pools=pools: writing.haiku_lines(rng, pools))
            for topic, pools in HAIKU
        ],
        [varied(f"How can I {goal}?", tips_for(goal, tips)) for goal, tips in ADVICE],
        [
            plain(f"How many {parts} are there in {whole}?", f"There are {count} {parts} in {whole}.")
            for parts, whole, count in UNITS
        ],
        [
            varied(f"Name three {kind}.", lambda rng, items=items: capitalize(join_and(rng.sample(items, 3))) + ".")
            for kind, items in LISTS
        ],
    ]
