"""Questions that ask for a few lines of writing.  Each function is rng -> (question, answer)."""

from facts import ADVICE, CONCEPTS, HAIKU, LISTS, NAMES, OBJECTS
from grammar import ask, capitalize, expand, join_and

NUMBER_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}


def advice(rng):
    goal, tips = rng.choice(ADVICE)
    count = rng.choice([2, 3, 3, 4])
    tips = rng.sample(tips, count)
    question = expand(
        rng,
        "[How can I {goal}?|What should I do to {goal}?|Give me some tips to {goal}.|How do I {goal}?"
        "|I want to {goal}. What can I do?|What is the best way to {goal}?|Give {count} tips on how to {goal}."
        "|Write some advice for someone who wants to {goal}.|Please help me to {goal}.]",
        goal=goal,
        count=NUMBER_WORDS[count],
    )
    style = rng.randrange(4)
    if style == 0:
        answer = numbered(f"{tip}." for tip in tips)
    elif style == 1:
        opening = expand(rng, "[To {goal}, you can|If you want to {goal}, you should|To {goal}, try to] ", goal=goal)
        answer = opening + join_and(tips) + "."
    elif style == 2:
        answer = f"First, {tips[0]}. " + "".join(f"Then, {tip}. " for tip in tips[1:-1]) + f"Finally, {tips[-1]}."
    else:
        second = expand(rng, "[It also helps to|It is also a good idea to|You can also] ") + tips[1] + "."
        closing = expand(rng, "[| With a little practice it becomes a habit.| Be patient with yourself.]")
        answer = f"You should {tips[0]}. {second}{closing}"
    return question, answer


def numbered(items):
    return "\n".join(f"{number}. {capitalize(item)}" for number, item in enumerate(items, 1))


def listing(rng):
    kind, items = rng.choice(LISTS)
    count = min(rng.choice([2, 3, 3, 3, 4, 5]), len(items))
    chosen = rng.sample(items, count)
    question = expand(
        rng,
        "[Name {count} {kind}.|List {count} {kind}.|Give me {count} {kind}.|Write a list of {count} {kind}."
        "|Can you name {count} {kind}?|Tell me {count} {kind}.|What are {count} examples of {kind}?"
        "|Make a list of {count} {kind}.]",
        count=NUMBER_WORDS[count],
        kind=kind,
    )
    style = rng.randrange(3)
    if style == 0:
        return question, numbered(chosen)
    if style == 1:
        return question, capitalize(join_and(chosen)) + "."
    return question, f"{capitalize(NUMBER_WORDS[count])} {kind} are {join_and(chosen)}."


def haiku(rng):
    topic, pools = rng.choice(HAIKU)
    question = expand(
        rng,
        "[Write a haiku about {topic}.|Please write a haiku about {topic}.|Can you write a haiku about {topic}?"
        "|Compose a haiku about {topic}.|Write a short poem about {topic}.|I would like a haiku about {topic}.]",
        topic=topic,
    )
    return question, haiku_lines(rng, pools)


def haiku_lines(rng, pools):
    """One line of 5, one of 7 and one of 5 syllables."""
    first, second, third = pools
    return f"{rng.choice(first)},\n{rng.choice(second).lower().capitalize()},\n{rng.choice(third)}."


def analogy(rng):
    concept, said = rng.choice(CONCEPTS)
    thing, theme, lines = rng.choice(OBJECTS)
    themes = [theme] + rng.sample([other for other in said if other != theme], 2)
    fields = dict(concept=concept, thing=thing, line=lines[0], second=lines[1])
    fields |= dict(same=said[theme], more=said[themes[1]], last=said[themes[2]])
    question = expand(
        rng,
        "[Write a detailed analogy between {concept} and {thing}.|Write an analogy between {concept} and {thing}."
        "|How is {concept} like {thing}?|Compare {concept} to {thing}.|Explain how {concept} is like {thing}."
        "|Create an analogy between {concept} and {thing}.]",
        **fields,
    )
    answer = expand(rng, "{Concept} is like {thing}. [Just as|In the same way that] {line}, {same}. ", **fields)
    if rng.random() < 0.7:
        answer += expand(rng, "[{Second}, and {more}.|In the same way, {more}, just as {second}.] ", **fields)
    if rng.random() < 0.5:
        answer += expand(rng, "[Most of all|In addition|Finally], {last}. ", **fields)
    if rng.random() < 0.4:
        answer += expand(
            rng,
            "[Both need time and care.|Both can help us when we feel lost."
            "|Without them the world would be a darker place.]",
        )
    return question, answer.strip()


REVIEWS = [
    (
        "positive",
        "[I loved this|This was a wonderful|What a great|I really enjoyed this] [movie|book|meal|trip|show]."
        " [I would recommend it to everyone.|It made me happy.|I want to see it again.|It was worth every cent.]",
    ),
    (
        "negative",
        "[I did not like this|This was a terrible|What a boring|I was not happy with this]"
        " [movie|book|meal|trip|show]."
        " [It was a waste of time.|I would not recommend it.|I want my money back.|It was too long and too slow.]",
    ),
]


def sentiment(rng):
    label, review = rng.choice(REVIEWS)
    return ask(
        rng,
        '[Is this review positive or negative? "{review}"|Classify the sentiment of this review: "{review}"'
        '|Decide if the following text is positive or negative: "{review}"]',
        "[The review is {label}.|{Label}.|The sentiment is {label}.]",
        review=expand(rng, review),
        label=label,
    )


def odd_one_out(rng):
    (kind, items), (_, others) = rng.sample(LISTS[:13], 2)
    good, odd = rng.sample(items, 3), rng.choice(others)
    mixed = good + [odd]
    rng.shuffle(mixed)
    return ask(
        rng,
        "[Which word does not belong: {words}?|Find the odd one out: {words}.|Which of these is different: {words}?]",
        "[{Odd} does not belong, because the others are {kind}.|The odd one out is {odd}. The others are {kind}.]",
        words=", ".join(mixed),
        odd=odd,
        kind=kind,
    )


# person in the request -> how the note addresses them
ADDRESSEES = {
    "a teacher": "teacher",
    "a friend": "friend",
    "my grandmother": "Grandma",
    "a neighbor": "neighbor",
    "my boss": "boss",
}
KINDNESSES = [
    "the help with my homework",
    "the birthday present",
    "the lovely dinner",
    "the good advice",
    "taking care of my dog",
]


def thank_you_note(rng):
    person, kindness = rng.choice(list(ADDRESSEES)), rng.choice(KINDNESSES)
    question = expand(
        rng,
        "[Write a short thank-you note to {person} for {kindness}.|Write a thank-you letter to {person} for {kindness}."
        "|Help me thank {person} for {kindness}.]",
        person=person,
        kindness=kindness,
    )
    signature = rng.choice(NAMES)
    answer = expand(
        rng,
        "Dear {addressee},\nThank you [very much|so much] for {kindness}."
        " [It was very kind of you.|It made me very happy.|I really appreciate it.]"
        " [I hope to see you soon.|I will never forget it.]\n[Best wishes|Kind regards|Yours], {signature}",
        addressee=ADDRESSEES[person],
        kindness=kindness,
        signature=signature,
    )
    return question, answer
