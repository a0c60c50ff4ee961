"""Everyday dialogues between Alice and Bob (and now and then other people)."""

from facts import ADVICE, NAMES
from grammar import expand
from knowledge import capital, definition, why
from qa import any_item
from selfinfo import self_item

DOUBLE_CONSONANT = {"put", "get", "set", "plan"}


def gerund(tip):
    """'take a short break' -> 'taking a short break'"""
    verb, _, rest = tip.partition(" ")
    if verb == "always":
        return "always carrying a book with you"
    if verb in DOUBLE_CONSONANT:
        verb += verb[-1]
    elif verb != "be":
        verb = verb.removesuffix("e")
    return f"{verb}ing {rest}"


# goal -> first line of the dialogue
OPENERS = {
    "focus while studying": (
        "[I don't know why, I'm struggling to maintain focus while studying. Any suggestions?|I can't focus while"
        " studying. What should I do?|I have a problem with my focus when I study.]"
    ),
    "sleep better": (
        "[I didn't sleep well last night. Any ideas?|I am always tired. How can I sleep better?|I can't sleep at"
        " night. Do you have any advice?]"
    ),
    "save money": "[I spend too much money. Any ideas?|How can I save money this month?]",
    "stay healthy": "[I want to live a healthier life. Where should I start?|How do you stay so healthy?]",
    "prepare for an exam": "[I have an exam next week and I am nervous.|My exam is on Monday. How should I prepare?]",
    "cook a good dinner": (
        "[I want to cook dinner for my friends tonight. Any tips?|I am cooking dinner tonight. Can you help me?]"
    ),
    "reduce stress": "[I feel so stressed at work. What can I do?|I have too much stress these days.]",
    "make new friends": "[I just moved to a new city and I feel lonely.|How do I make new friends?]",
    "plan a trip": (
        "[I am planning a trip for the summer. Any advice?|I want to travel this year. How should I plan it?]"
    ),
    "take care of a dog": "[We just got a puppy! Do you have any advice?|I have a new dog. How do I take care of it?]",
    "exercise more": "[I want to exercise more, but I am lazy.|How can I start to exercise?]",
    "get up early": "[I can never get up early. Do you have any tips?|I was late again this morning.]",
}
ANY_OPENER = (
    "[I want to {goal}. Any suggestions?|How can I {goal}?|Do you know how to {goal}?|I am trying to {goal}, but it is"
    " hard.]"
)
FIRST_TIP = (
    "[Well, have you tried {doing}?|You could try {doing}.|Maybe you should {tip}.|I think you should {tip}."
    "|Sure! First, {tip}.|Have you thought about {doing}?]"
)
NEXT_TIP = (
    "[Hmm, maybe you should {tip}.|Then you could try {doing}.|You could also {tip}.|What about {doing}?"
    "|In that case, {tip}.|Another idea is {doing}.|I would also {tip}.]"
)
REASON = "[| It really helped me.| It works well for many people.| It makes a big difference.| That is what I do.]"
REACTION = (
    "[Yes, I have, but it doesn't seem to help much.|That's a good idea. I will try it.|I never thought of that."
    "|I already do that. Anything else?|Okay, that sounds easy. What else?|That is not easy for me, but I will try."
    "|Thanks! Do you have other ideas?|Really? Does that work?|I tried that last week, but it was hard.]"
)
THANKS = (
    "[Thank you, {b}. That helps a lot.|Thanks for your help, {b}!|Great, I will start tomorrow. Thank you!"
    "|That is very helpful. Thanks!]"
)
WELCOME = (
    "[You're welcome! Good luck.|No problem. Let me know how it goes.|Any time. I hope it helps."
    "|You're welcome, {a}. Don't give up!]"
)


def advice_chat(rng, a, b):
    """a asks, b gives tips.  As all dialogues: a list of (speaker, text)."""
    goal, tips = rng.choice(ADVICE)
    tips = rng.sample(tips, rng.choice([3, 4, 5, 6]))
    lines = [(a, expand(rng, OPENERS.get(goal, ANY_OPENER), goal=goal))]
    for number, tip in enumerate(tips):
        suggestion = (FIRST_TIP if number == 0 else NEXT_TIP) + REASON
        lines.append((b, expand(rng, suggestion, doing=gerund(tip), tip=tip)))
        lines.append((a, expand(rng, REACTION)))
    lines[-1] = (a, expand(rng, THANKS, b=b))
    lines.append((b, expand(rng, WELCOME, a=a)))
    return lines


# small talk: each topic is a list of (utterance, reply) exchanges that stand on their own
TALK = {
    "weather": [
        (
            "[How is the weather today?|What is the weather like?]",
            "[It is sunny and warm.|It is raining again.|It is cold and windy today.|It is cloudy, but not cold.]",
        ),
        (
            "[Should I take an umbrella?|Do I need a coat?]",
            "[Yes, I think that is a good idea.|Better safe than sorry.]",
        ),
        (
            "[I hope it will be better tomorrow.|I love this season.]",
            "[Me too. The forecast says it will be sunny.|So do I. Let's go for a walk later.]",
        ),
    ],
    "weekend": [
        (
            "[What are you doing this weekend?|Do you have any plans for the weekend?]",
            (
                "[I am going to visit my parents.|I want to go hiking in the mountains.|I will stay at home and read"
                " a book.|I am going to the beach with some friends.]"
            ),
        ),
        (
            "[That sounds like fun! Can I come with you?|Sounds great. Who is going with you?]",
            "[Of course! The more the merrier.|My sister is coming too. You should join us.]",
        ),
        (
            "[When do you want to leave?|What time should we meet?]",
            "[Let's meet at nine in the morning.|I think ten o'clock is fine.|We can leave after breakfast.]",
        ),
        (
            "[What should I bring?|Do I need to bring anything?]",
            "[Just bring some water and a snack.|Bring good shoes and a warm jacket.]",
        ),
    ],
    "books": [
        (
            "[Have you read any good books lately?|What are you reading these days?]",
            (
                "[Yes, I just finished a book about the history of science.|I am reading a mystery novel. It is very"
                " exciting.|I am reading a book about space.]"
            ),
        ),
        (
            "[What is it about?|Is it good?]",
            (
                "[It is about a young woman who travels around the world.|It is about the stars and the planets. I"
                " like it a lot.]"
            ),
        ),
        (
            "[Can I borrow it when you are done?|Where did you get it?]",
            "[Sure, I will give it to you next week.|I found it in the library.]",
        ),
    ],
    "pets": [
        (
            "[How is your dog?|How is your cat doing?]",
            (
                "[Very well, thank you. We go to the park every day.|A little lazy, as always.|Much better, thanks."
                " The vet was very helpful.]"
            ),
        ),
        (
            "[I would love to have a pet too.|I want to get a dog.]",
            "[It is a lot of work, but it is worth it.|You should visit the animal shelter. Many pets need a home.]",
        ),
        (
            "[What does it eat?|How often do you feed it?]",
            "[I feed it twice a day.|It eats dry food and sometimes a little fish.]",
        ),
    ],
    "food": [
        (
            "[What did you have for dinner?|What are you cooking?]",
            "[I made pasta with tomato sauce.|I am making vegetable soup.|I had rice with chicken.]",
        ),
        (
            "[Is it hard to make?|Can you give me the recipe?]",
            (
                "[It is very easy. You only need a few ingredients.|Sure. Cut the vegetables, add water and cook them"
                " for twenty minutes.]"
            ),
        ),
        ("[It smells wonderful.|I am hungry now.]", "[Sit down and have some!|Come over, there is enough for two.]"),
    ],
    "travel": [
        (
            "[Where did you go on vacation?|How was your trip?]",
            (
                "[I went to Italy. Rome is a beautiful city.|We went to Japan. The food was amazing.|It was great. We"
                " saw the sea every day.]"
            ),
        ),
        (
            "[What did you like best?|Did you take any photos?]",
            "[I liked the old buildings and the friendly people.|Yes, I took hundreds of photos. I will show you.]",
        ),
        (
            "[I want to go there too.|Was it expensive?]",
            "[You should! Spring is the best time to visit.|Not really. We booked everything early.]",
        ),
    ],
    "work": [
        (
            "[How was your day?|How is work?]",
            "[It was busy, but good.|I had a lot of meetings today.|I finally finished my project.]",
        ),
        (
            "[You must be tired.|Do you need some rest?]",
            "[Yes, I will go to bed early tonight.|A little, but I am happy with the result.]",
        ),
        (
            "[What are you working on now?|What is next?]",
            "[I am writing a small program in Python.|I am preparing a talk for next week.]",
        ),
    ],
    "school": [
        (
            "[Did you finish your homework?|How was school today?]",
            (
                "[Almost. I only have one more exercise.|It was good. We learned about the planets.|It was fun. We"
                " did an experiment.]"
            ),
        ),
        (
            "[Which subject do you like best?|What is your favorite subject?]",
            "[I like mathematics, because every problem has a solution.|I love history.|Science, of course!]",
        ),
        (
            "[Can you help me with mathematics?|I do not understand the last exercise.]",
            "[Sure, let's look at it together.|Of course. Which part is difficult for you?]",
        ),
    ],
}
GREETING = "[Hi {b}!|Hello {b}, how are you?|Good morning, {b}!|Hey {b}, how are you today?]"
GREETING_BACK = "[Hi {a}! I'm fine, thanks. And you?|Hello {a}! I am very well, thank you.|Hi {a}, nice to see you.]"


def small_talk(rng, a, b):
    lines = []
    for topic in rng.sample(sorted(TALK), rng.choice([1, 2, 2, 3])):
        first, *others = TALK[topic]
        for utterance, reply in [first, *(exchange for exchange in others if rng.random() < 0.8)]:
            lines += [(a, expand(rng, utterance)), (b, expand(rng, reply))]
        if rng.random() < 0.3:
            a, b = b, a
    if rng.random() < 0.4:
        lines = [(a, expand(rng, GREETING, b=b)), (b, expand(rng, GREETING_BACK, a=a))] + lines
    return lines


def fact_chat(rng, a, b):
    """a asks a few of the questions that are also exercises."""
    lines = []
    for _ in range(rng.choice([1, 2, 3])):
        question, answer = rng.choice([capital, definition, why, any_item])(rng)
        if "\n" in question + answer:
            continue
        lines.append((a, expand(rng, "[|||Hey {b}, |I have a question. |{b}, ]", b=b) + question))
        lines.append((b, expand(rng, "[|||Good question! |Easy! |I think I know this. ]") + answer))
    thanks = "[Thanks, {b}!|Oh, I see. Thank you!|Wow, you know a lot.|Interesting! I did not know that.]"
    lines.append((a, expand(rng, thanks, b=b)))
    lines.append((b, expand(rng, "[You're welcome!|Any time!|I like questions like this.]")))
    return lines


def first_contact(rng, a, b):
    """Greetings and questions about the model itself."""
    lines = []
    for _ in range(rng.choice([1, 2, 2, 3, 4])):
        question, answer = self_item(rng)
        lines += [(a, question), (b, answer)]
    return lines


def without_labels(text):
    """Nobody calls anybody 'User' or 'Assistant'."""
    return text.replace(", Assistant", "").replace("Assistant, ", "").replace(", User", "")


def chat(rng):
    a, b = ("Alice", "Bob") if rng.random() < 0.75 else rng.sample(NAMES, 2)
    if rng.random() < 0.15:
        lines = rng.choice([first_contact, fact_chat, advice_chat])(rng, "User", "Assistant")
        lines = [(speaker, without_labels(text)) for speaker, text in lines]
    else:
        lines = rng.choice([advice_chat, advice_chat, small_talk, small_talk, fact_chat, first_contact])(rng, a, b)
        if rng.random() < 0.5:
            lines += rng.choice([advice_chat, small_talk, fact_chat])(rng, a, b)
    return "\n".join(f"{speaker}: {text}" for speaker, text in lines)
