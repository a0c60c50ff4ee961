"""Arithmetic: small sums, pages of them, word problems, and comparing numbers."""

from facts import NAMES
from grammar import ask, expand

THINGS = "apples books pencils cookies marbles stickers coins cards oranges balloons flowers eggs".split()


def random_sum(rng):
    """(a, sign, b, result): operands up to 20 and the times table to 12 come often enough to be learned by heart."""
    sign = rng.choice("+++++---***//")
    if sign == "+":
        a, b = rng.randint(0, 20), rng.randint(0, 20)
        if rng.random() < 0.08:
            a, b = rng.randint(1, 9) * 10, rng.randint(1, 9) * 10
        return a, sign, b, a + b
    if sign == "-":
        b, result = rng.randint(0, 20), rng.randint(0, 20)
        if rng.random() < 0.6:
            b = rng.randint(0, 20 - result)
        return b + result, sign, b, result
    if sign == "*":
        a, b = rng.randint(0, 12), rng.randint(0, 12)
        return a, sign, b, a * b
    b, result = rng.randint(1, 12), rng.randint(1, 12)
    return b * result, sign, b, result


# sign -> the word between the numbers, the request
SPOKEN = {
    "+": ("[plus|plus|and]", "Add {a} and {b}."),
    "-": ("minus", "Subtract {b} from {a}."),
    "*": ("[times|times|multiplied by]", "Multiply {a} by {b}."),
    "/": ("divided by", "Divide {a} by {b}."),
}


def arithmetic(rng):
    a, sign, b, result = random_sum(rng)
    word, request = SPOKEN[sign]
    question = (
        "[What is {a} {sign} {b}?|What is {a} {sign} {b}?|What is {a} {sign} {b}?"
        f"|What is {{a}} {word} {{b}}?|What is {{a}} {word} {{b}}?"
        "|How much is {a} {sign} {b}?|Calculate {a} {sign} {b}.|Calculate {a} {sign} {b}."
        f"|{request}|{{a}} {{sign}} {{b}} =|{{a}} {{sign}} {{b}} =|{{a}} {{sign}} {{b}}]"
    )
    equation = "{a} {sign} {b} = {result}."
    answer = f"[{equation}|{equation}|{equation}|{equation}|{equation}|{{result}}]"
    return ask(rng, question, answer, a=a, b=b, result=result, sign=sign)


def drill(rng):
    """A page of plain equations: random ones, or one row of a table."""
    kind = rng.random()
    title = ""
    if kind < 0.75:
        rows = [random_sum(rng) for _ in range(rng.randint(8, 30))]
    elif kind < 0.9:
        n = rng.randint(1, 12)
        rows = [(n, "*", i, n * i) for i in range(1, 13)]
        title = expand(rng, "[|||The times table of {n}:\n]", n=n)
    else:
        n = rng.randint(1, 20)
        rows = [(n, "+", i, n + i) for i in range(0, 21)]
    return title + "\n".join(f"{a} {sign} {b} = {result}" for a, sign, b, result in rows)


def word_problem(rng):
    person, thing = rng.choice(NAMES), rng.choice(THINGS)
    a, b = rng.randint(2, 20), rng.randint(1, 12)
    if rng.random() < 0.5:
        question = (
            "{person} has {a} {thing} [and buys {b} more|and finds {b} more|and gets {b} more from a friend]."
            " How many {thing} does {person} have now?"
        )
        answer = (
            "[{person} has {a} + {b} = {result} {thing}."
            "|{a} + {b} = {result}. {person} has {result} {thing} now."
            "|To find the answer, we add {a} and {b}. {a} + {b} = {result}, so {person} has {result} {thing}.]"
        )
        return ask(rng, question, answer, person=person, thing=thing, a=a, b=b, result=a + b)
    a = b + rng.randint(1, 20 - b)
    question = (
        "{person} has {a} {thing} and [gives {b} to a friend|loses {b} of them|gives away {b}]."
        " How many {thing} are left?"
    )
    answer = (
        "[{person} has {a} - {b} = {result} {thing} left."
        "|{a} - {b} = {result}. There are {result} {thing} left."
        "|We subtract {b} from {a}. {a} - {b} = {result}, so {result} {thing} are left.]"
    )
    return ask(rng, question, answer, person=person, thing=thing, a=a, b=b, result=a - b)


def compare(rng):
    """Which of two numbers is larger, whether one is even, how a sequence goes on."""
    a, b = rng.sample(range(1, 100), 2)
    kind = rng.randrange(3)
    if kind == 0:
        larger = "[Which number is larger, {a} or {b}?|Which is bigger: {a} or {b}?|Is {a} greater than {b}?]"
        question = expand(rng, larger, a=a, b=b)
        answer = f"{max(a, b)} is larger than {min(a, b)}."
        if question.startswith("Is"):
            answer = ("Yes, " if a > b else "No, ") + answer
        return question, answer
    if kind == 1:
        parity = "even" if a % 2 == 0 else "odd"
        return ask(
            rng,
            "[Is {a} even or odd?|Is {a} an even or an odd number?]",
            "{a} is an {parity} number.",
            a=a,
            parity=parity,
        )
    step, start = rng.randint(1, 5), rng.randint(1, 20)
    return ask(
        rng,
        "[What is the next number in the sequence {known}?|What comes next: {known}, ...?|Continue the sequence:"
        " {known}.]",
        "[The next number is {next}. Each number is {step} more than the one before.|The next number is {next}.]",
        known=", ".join(str(start + step * i) for i in range(4)),
        next=start + step * 4,
        step=step,
    )
