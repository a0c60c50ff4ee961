"""The documents of the corpus.  Most are runs of several exercises, so that the model keeps going after its first
answer, as Phi-2 does."""

import random

import qa
import stories
import sums
from chat import chat
from code_functions import code_file, code_task

# a fixed round of plain questions, along which a third of the runs walk
ROUND = qa.make_round(random.Random(11))


def document(rng):
    kind = rng.random()
    if kind < 0.61:
        return exercises(rng)
    if kind < 0.66:
        return sums.drill(rng)
    if kind < 0.78:
        return chat(rng)
    if kind < 0.90:
        text = code_file(rng)
        return text + "\n\n\n" + exercises(rng) if rng.random() < 0.1 else text
    if kind < 0.96:
        text, _ = stories.story(rng)
        if rng.random() >= 0.6:
            return text
        return text + "\n\n" + (stories.story(rng)[0] if rng.random() < 0.5 else exercises(rng))
    return "\n\n".join(stories.paragraph(rng) for _ in range(rng.choice([1, 2, 3, 4])))


def exercises(rng):
    """A run of one to six exercises, usually in one format."""
    form = rng.choice([0, 0, 0, 0, 0, 1, 2, 3, 3, 3, 4, 4, 5, 6, 7])
    count = rng.choice([1, 2, 3, 3, 4, 5, 6])
    walk = rng.randrange(len(ROUND)) if rng.random() < 0.35 else None
    family = one_family(rng) if rng.random() < 0.25 else None
    parts, seen = [], set()
    for number in range(1, count + 1):
        if walk is not None:
            question, answer = ROUND[(walk + number) % len(ROUND)](rng)
        else:
            question, answer = item(rng, family)
        if question in seen:
            continue
        seen.add(question)
        if rng.random() < 0.05:
            form = rng.choice([0, 1, 3, 5])
        parts.append(formatted(form, number, question if walk is not None else casual(rng, question), answer))
    return "\n\n".join(parts)


def one_family(rng):
    kind = rng.random()
    if kind < 0.7:
        return qa.any_family(rng)
    return stories.story_task if kind < 0.85 else code_task


def item(rng, family):
    kind = rng.random()
    if family:
        return family(rng)
    if kind < 0.78:
        return qa.any_item(rng)
    return stories.story_task(rng) if kind < 0.88 else code_task(rng)


def casual(rng, question):
    """Now and then people type without capitals or a question mark."""
    if rng.random() < 0.06:
        question = question[:1].lower() + question[1:] if rng.random() < 0.5 else question.lower()
        if question.endswith(("?", ".")) and rng.random() < 0.5:
            question = question[:-1]
    return question


def formatted(form, number, question, answer):
    is_code = answer.startswith(("def ", "import ", "```"))
    gap = "\n" if is_code or "\n" in answer else " "
    return [
        f"Instruct: {question}\nOutput:{gap}{answer}",
        f"Question: {question}\nAnswer:{gap}{answer}",
        f"Q: {question}\nA:{gap}{answer}",
        f"{question}\n{answer}",
        f"{question}\n\n{answer}",
        f"Exercise {number}: {question}\nAnswer:{gap}{answer}",
        f"Exercise {number}:\n{question}\n\nSolution:\n{answer}",
        f"User: {question}\nAssistant:{gap}{answer}",
    ][form]
