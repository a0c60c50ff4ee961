"""Very short stories and textbook-like paragraphs."""

from facts import ADVICE, ANIMALS, CAPITALS, DEFINITIONS, ELEMENTS, PLANETS, WHY
from grammar import capitalize, expand, join_and, with_article

GIRLS = "Alice Emma Lily Anna Mia Sara Lucy Kate Nina Rosa".split()
BOYS = "Bob Tom Ben Sam Max Jack Tim Leo Paul Adam".split()
PETS = "dog cat rabbit duck bird mouse frog horse pig".split()
PLACES = "park forest garden beach farm lake village hill".split()
THINGS = "ball kite book hat key boat coin flower toy bell".split()
TRAITS = "little small kind brave happy clever curious young friendly".split()
STORY_COLORS = "red blue green yellow golden white".split()

OPEN = "[Once upon a time|One day|One sunny morning|A long time ago|Last summer|On a rainy day], "

PLOTS = [
    OPEN
    + "there was a {trait} {kid} named {hero}. {He} [loved|liked] to play in the {place}. One day, {he} found a {color}"
    " {thing} [under a tree|near the path|in the grass]. {hero} [wanted to keep it|was very happy], but then {he} saw"
    ' a {pet} that looked sad. "Is this your {thing}?" {hero} asked. The {pet} [nodded|smiled]. {hero} gave the'
    " {thing} back, and they became [good|best] friends.",
    OPEN
    + "{hero} went to the {place} with {his} {pet}. They played with a {color} {thing} [all day|all morning]. Suddenly"
    " it started to rain. {hero} and the {pet} [ran under a big tree|ran home as fast as they could]. When the rain"
    ' stopped, they saw a [beautiful|big] rainbow in the sky. {hero} [smiled|laughed] and said, "[This was the best'
    ' day ever|What a lovely day]!"',
    OPEN
    + "a {trait} {pet} lived near the {place}. The {pet} wanted to [learn to swim|fly like a bird|see the world|find a"
    ' friend], but it was afraid. {helper} named {hero} said, "[Do not be afraid|You can do it]. I will help you."'
    " They tried again and again. At last the {pet} [did it|was not afraid anymore], and everyone was [proud|happy].",
    OPEN
    + "{hero} lost {his} {thing}. {He} looked in the {place} and in the house, but {he} could not find it. {hero} felt"
    " sad. Then {his} {pet} came with the {thing} in its mouth. {hero} [hugged|thanked] the {pet} and gave it [a"
    " treat|some food]. They [laughed and played|were happy] until it was time for bed.",
    OPEN
    + "a {trait} {kid} named {hero} planted a seed in the {place}. {He} gave it water every day and waited. For a long"
    ' time nothing happened, and {hero} wanted to stop. {His} [mother|father|grandmother] said, "[Be patient|Good'
    ' things take time]." One morning a {color} flower was there. {hero} learned that [patience is important|good'
    " things need time].",
    OPEN
    + '{hero} and {other} wanted to play with the same {thing}. "It is mine!" said {hero}. "No, it is mine!" said'
    " {other}. They [pulled and pulled|were angry], and the {thing} broke. Both children were sad. Then they [fixed"
    " it together|said sorry and made a new one]. They learned that it is [better|more fun] to share.",
    OPEN
    + "a {trait} {pet} got lost in the {place}. It was dark and the {pet} was scared. {hero} heard a small cry and went"
    ' outside with a light. "[Do not worry|You are safe now]," {he} said. {hero} took the {pet} home and gave it warm'
    " milk. In the morning they found its family, and everyone was [happy|thankful].",
    OPEN
    + "{hero} made a big cake for {other}'s birthday. {He} used eggs, flour and sugar. But when {he} was not looking,"
    ' the {pet} ate a piece of it! {hero} was [upset|surprised] at first. Then {other} came in and laughed. "It is'
    ' [still the best cake|a very good cake]," said {other}. They all ate the rest of the cake together.',
    OPEN
    + "there was an old lighthouse near the sea. A {trait} {kid} named {hero} lived there with {his}"
    " [father|grandfather]. One stormy night the light went out. {hero} [climbed up the stairs|ran to the top] and"
    " lit the lamp again. A ship saw the light and came home safely. The people of the village called {hero} a hero.",
    OPEN
    + "a small robot named {hero} worked in a [school|library|hospital]. {hero} helped people every day, but nobody"
    ' said thank you. The robot felt lonely. Then a {trait} {kid} named {other} gave {hero} a {color} {thing}. "You'
    ' are my friend," said {other}. From that day on, {hero} [was never lonely again|smiled every day].',
]


def story(rng):
    """The text, and what it is about."""
    girl = rng.random() < 0.5
    hero = rng.choice(GIRLS if girl else BOYS)
    other = rng.choice([name for name in GIRLS + BOYS if name != hero])
    fields = dict(hero=hero, other=other, pet=rng.choice(PETS), thing=rng.choice(THINGS), trait=rng.choice(TRAITS))
    fields |= dict(place=rng.choice(PLACES), color=rng.choice(STORY_COLORS))
    fields |= dict(helper=rng.choice(["A friend", "A girl" if girl else "A boy"]))
    fields |= dict(kid="girl", he="she", his="her") if girl else dict(kid="boy", he="he", his="his")
    plots = [plot for plot in PLOTS if "{pet}" in plot] if rng.random() < 0.5 else PLOTS
    return expand(rng, rng.choice(plots), **fields), fields


def story_task(rng):
    text, fields = story(rng)
    present = [key for key in ("pet", "place", "thing", "hero") if fields[key] in text]
    subject = {
        "pet": with_article(fields["pet"]),
        "place": "the " + fields["place"],
        "thing": with_article(fields["thing"]),
        "hero": f"a {fields['kid']} named {fields['hero']}",
    }[rng.choice(present)]
    question = expand(
        rng,
        "[Write a short story about {subject}.|Tell me a story about {subject}.|Write a story about {subject}."
        "|Can you tell me a short story about {subject}?|Please write a very short story about {subject}."
        "|Write a short story for children about {subject}.]",
        subject=subject,
    )
    if rng.random() < 0.25:
        question = rng.choice(
            [
                "Tell me a story.",
                "Write a short story.",
                "Write a short story for children.",
                "Please tell me a bedtime story.",
            ]
        )
    return question, text


def paragraph(rng):
    """A textbook-like paragraph of plain statements."""
    kinds = [about_countries, about_element, about_animal, about_planet, about_word, about_goal]
    return kinds[rng.randrange(6)](rng)


def about_countries(rng):
    country, city, continent = rng.choice(CAPITALS)
    second, capital, _ = rng.choice(CAPITALS)
    return expand(
        rng,
        "{Country} is a country in {continent}. The capital of {country} is {city}."
        " [Many people visit {city} every year.|{city} is an important city."
        "|People from all over the world travel to {city}.]"
        " [Another country|A different country] is {second}. Its capital is {capital}.",
        country=country,
        city=city,
        continent=continent,
        second=second,
        capital=capital,
    )


def about_element(rng):
    name, symbol, number, kind = rng.choice(ELEMENTS)
    return (
        f"{capitalize(name)} is a chemical element. Its symbol is {symbol} and its atomic number is {number}."
        f" {capitalize(name)} is {with_article(kind)}."
    )


def about_animal(rng):
    name, legs, _, food, young, home, group = rng.choice(ANIMALS)
    return (
        f"{capitalize(with_article(name))} is {with_article(group)}. It lives {home} and eats {food}."
        f" It has {'no' if legs == '0' else legs} legs. A baby {name} is called {with_article(young)}."
    )


def about_planet(rng):
    name, order, text = rng.choice(PLANETS)
    return f"{name} is the {order} planet from the Sun. It is {text}."


def about_word(rng):
    """A definition, and an answer that has nothing to do with it."""
    word, meaning = rng.choice(DEFINITIONS)
    _, answer = rng.choice(WHY)
    return f"{capitalize(word)} is {meaning}. " + expand(rng, answer)


def about_goal(rng):
    goal, tips = rng.choice(ADVICE)
    return expand(
        rng,
        "[Many people want to {goal}.|It is not always easy to {goal}.|Do you want to {goal}?]"
        " [Here is some advice.|There are some simple things that help.] You can {tips}."
        " [Start today!|Small steps make a big difference.]",
        tips=join_and(rng.sample(tips, 3)),
        goal=goal,
    )
