"""A tiny text grammar: [a|b|c] picks one alternative (nesting allowed), {key} fills a field.

Every random choice of the corpus goes through one generator, so the order of the calls is part of the recipe: the
same seed gives the same corpus only as long as it stays.
"""

import re

INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def expand(rng, text, /, **fields):
    """Makes the choices, then fills the fields.  {Key} is the field {key} with a capital letter."""
    while match := INNERMOST_CHOICE.search(text):
        text = text[: match.start()] + rng.choice(match.group(1).split("|")) + text[match.end() :]
    for key, value in fields.items():
        text = text.replace("{" + key + "}", str(value))
        text = text.replace("{" + capitalize(key) + "}", capitalize(str(value)))
    # a sentence that ends with the capital of the United States has its full stop already
    return text.replace("D.C..", "D.C.")


def ask(rng, question, answer, /, **fields):
    """A question and its answer, with the same fields."""
    return expand(rng, question, **fields), expand(rng, answer, **fields)


def capitalize(text):
    """The first letter only: 'the Netherlands' becomes 'The Netherlands'."""
    return text[:1].upper() + text[1:]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def join_and(items):
    """'a, b and c'"""
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
