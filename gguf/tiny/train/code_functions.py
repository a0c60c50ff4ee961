"""Small Python functions with signature, docstring and body, in many variants.

The recipes are in code_recipes.txt: names, parameters and docstrings to choose from, what the function does in words,
and bodies with 4-space indents.  {0} {1} {2} stand for the parameters, {f} for the function's name, num_ for a loop
variable that must differ from the parameter.
"""

import random
from pathlib import Path
from typing import NamedTuple


class Recipe(NamedTuple):
    names: list[str]
    parameters: list[list[str]]
    docstrings: list[str]
    task: str
    bodies: list[str]


def parse_recipe(text):
    head, *bodies = text.split("\n---\n")
    fields = dict(line.split(": ", 1) for line in head.split("\n"))
    return Recipe(
        names=fields["names"].split("/"),
        parameters=[choice.split(",") for choice in fields["parameters"].split("/")],
        docstrings=fields["docstrings"].split("/"),
        task=fields["task"],
        bodies=bodies,
    )


def load_recipes():
    text = Path(__file__).with_name("code_recipes.txt").read_text(encoding="utf-8")
    return [parse_recipe(part) for part in text.removesuffix("\n").split("\n===\n")]


RECIPES = load_recipes()
# a fixed round of functions, along which code_file walks
ROUND = list(range(len(RECIPES)))
random.Random(3).shuffle(ROUND)


def function(rng, recipe=None, indent=None):
    """One function as text, what it does in words, and its name."""
    if recipe is None:
        recipe = RECIPES[rng.randrange(len(RECIPES)) if rng.random() < 0.92 else 0]
    # the first name and parameter of a recipe are the usual ones
    name = recipe.names[0] if rng.random() < 0.6 else rng.choice(recipe.names)
    parameters = recipe.parameters[0] if rng.random() < 0.5 else rng.choice(recipe.parameters)
    doc = rng.choice(recipe.docstrings).format(*parameters)
    body = rng.choice(recipe.bodies).format(*parameters, f=name)
    body = body.replace("num_", "num" if parameters[0] != "num" else "k")
    pad = indent or (" " * 3 if rng.random() < 0.3 else " " * 4)
    lines = [f"def {name}({', '.join(parameters)}):"]
    lines += [pad + line for line in documentation(rng, doc)]
    lines += [reindent(line, pad) for line in body.split("\n")]
    text = "\n".join(lines)
    if "math." in text and rng.random() < 0.3:
        text = "import math\n\n" + text
    return text, recipe.task.format(*parameters), name


def documentation(rng, doc):
    """The lines of a docstring of several or of one line, of a comment, or none."""
    style = rng.randrange(7)
    if style < 2:
        return ['"""', doc + rng.choice(["", "", "."]), '"""']
    if style < 4:
        return [f'"""{doc}."""']
    if style < 5:
        return [f'"""{doc}"""']
    return [f"# {doc}"] if rng.random() < 0.3 else []


def reindent(line, pad):
    code = line.lstrip(" ")
    depth = (len(line) - len(code)) // 4
    return pad * (depth + 1) + code


def code_file(rng):
    """Several functions after each other, as in a small module; often the next ones of the fixed round."""
    separator = rng.choice(["\n\n\n", "\n\n", "\n\n"])
    count = rng.choice([1, 2, 3, 4, 5])
    indent = " " * 3 if rng.random() < 0.3 else " " * 4
    at = rng.randrange(len(RECIPES))
    functions = []
    for _ in range(count):
        functions.append(function(rng, RECIPES[ROUND[at]], indent)[0])
        at = (at + 1) % len(RECIPES) if rng.random() < 0.7 else rng.randrange(len(RECIPES))
    return separator.join(functions)


def code_task(rng):
    """A request for a function, and the function: bare, fenced or with a sentence before it."""
    text, task, name = function(rng)
    question = rng.choice(
        [
            f"Write a Python function that {task}.",
            f"Write a function that {task}.",
            f"Write Python code that {task}.",
            f"Write a Python function called {name} that {task}.",
            f"Can you write a Python function that {task}?",
            f"Implement a Python function {name} that {task}.",
            f"How do I write a function that {task} in Python?",
        ]
    )
    style = rng.random()
    if style < 0.5:
        return question, text
    if style < 0.8:
        return question, "```python\n" + text + "\n```"
    return question, f"Here is a function that {task}:\n\n" + text
