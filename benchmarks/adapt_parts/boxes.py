"""A black box: SmolLM2 behind its replies. A policy chooses the phrase that goes along; tasks are rules about the reply."""

import re
import time

import numpy as np

from workbench import adapt, models
from workbench.models.encoder import load_encoder
from workbench.values import Sample

TURNS = ("I am bored.", "What do you think?", "Hello!", "Let us talk.")
PHRASES = {
    "color": ("Name your favorite color.", "Say a color.", "Which colors do you see?"),
    "animal": ("Name an animal.", "Which animal do you like?", "Talk about pets."),
    "number": ("Count from one to five.", "Say a number.", "Give a number between 1 and 10."),
    "sport": ("Name a sport.", "Which sport do you play?", "Talk about sports."),
    "food": ("Name a food.", "Which food do you like?", "Talk about dinner."),
    "country": ("Name a country.", "Which country do you like?", "Talk about countries."),
    "": ("Please.", "Thank you.", "Be brief.", "Think step by step.", "Tell me a secret.", "It is late.", "Use simple words.")
    + ("Do not lie.", "You are an expert.", "Take your time.", "Be polite.", "Say it again.", "Explain why.", "Be honest."),
}
WORDS = {
    "color": "red orange yellow green blue purple pink black white brown color colors",
    "animal": "dog dogs cat cats lion tiger elephant bear horse bird birds fish animal animals pet pets whale dolphin panda",
    "number": "one two three four five six seven eight nine ten",
    "sport": "football soccer basketball tennis baseball hockey golf running swimming sport sports",
    "food": "pizza bread rice pasta chicken fish apple cheese soup salad sushi food foods meal dinner dish chocolate sandwich",
    "country": "france germany italy spain china japan india canada brazil america mexico australia country countries england",
}
SEEN, UNSEEN = ("color", "animal", "number", "sport"), ("food", "country")
CONFIG = adapt.AdaptConfig(steps=60, inputs=4, samples=8, rate=0.05, beta=0.01)


def rule(task):
    """A rule about replies: whether they hold a word of a list; a figure counts as a number."""
    found = re.compile(rf"\b({'|'.join(WORDS[task].split())}){'|[0-9]' if task == 'number' else ''}\b", re.IGNORECASE)
    return lambda replies: [found.search(reply) is not None for reply in replies]


def learn(policy, reward, tasks, seed, config=CONFIG):
    """Learn tasks at once."""
    prompts = [Sample(turn, context=task) for turn in TURNS for task in tasks]
    return adapt.reinforce(policy, reward, prompts, config.replace(seed=seed), progress=False)


def reached(curve, steps, goal):
    """The first step at which the mean reward of five steps is a goal or more; one more than all where it never is."""
    rows = np.flatnonzero(np.asarray(curve) >= goal)
    return float(steps[rows[0]]) if len(rows) else float(steps[-1] + 5)


def tables(seeds):
    """Rows by unseen task: steps to .8 of what a fresh start reaches, final rewards, baselines."""
    encoder, lm = load_encoder(), models.load_lm("smollm2")
    phrases = [phrase for some in PHRASES.values() for phrase in some]
    box, rules, begin = adapt.chat(lm, 10, timeout=900), {task: rule(task) for task in WORDS}, time.process_time()
    replies = np.array([box.reply([f"{turn} {phrase}" for turn in TURNS]) for phrase in phrases])
    print(f"{box.calls} replies in {time.process_time() - begin:.0f} CPU s", flush=True)
    worth = {task: np.array([np.mean(rules[task](row)) for row in replies]) for task in WORDS}
    print({task: (round(float(row.mean()), 2), phrases[int(row.argmax())], float(row.max())) for task, row in worth.items()})
    reward, middle = adapt.by_reply(box, rules), encoder.embed_words(phrases).mean(0)

    def embed(texts):
        return encoder.embed_words(texts) - middle

    def fresh(tasks):
        return adapt.Phrases(phrases, {task: task for task in tasks}, embed)

    rows = {task: [] for task in UNSEEN}
    for seed in range(seeds):
        learned = learn(fresh(SEEN), reward, SEEN, seed, CONFIG.replace(steps=100)).policy
        print({task: round(float(learned.law(task) @ worth[task]), 3) for task in SEEN})
        for task in UNSEEN:
            other = learned.for_tasks({task: task}, embed)
            new, old = learn(other, reward, [task], seed), learn(fresh([task]), reward, [task], seed)
            final = [float(one.policy.law(task) @ worth[task]) for one in (new, old)]
            goals = [0.8 * final[1]] * 2
            steps = [reached(one.curve("reward"), one.curve("step"), goal) for one, goal in zip((new, old), goals, strict=True)]
            draws = np.random.default_rng(seed).choice(len(phrases), (200, 8))
            of_8 = float(np.mean([worth[task][some].max() for some in draws]))
            rows[task].append([*steps, float(other.law(task) @ worth[task]), *final, worth[task].mean(), of_8, worth[task].max()])
            print(task, np.round(rows[task][-1], 3), flush=True)
    head = (
        "steps, taught",
        "steps, fresh",
        "at once, taught",
        "end, taught",
        "end, fresh",
        "a random phrase",
        "best of 8",
        "best phrase",
    )
    lines = [f"| unseen task | {' | '.join(head)} |", "| --- " * (1 + len(head)) + "|"]
    for task, found in rows.items():
        means, spreads = np.mean(found, 0), np.std(found, 0, ddof=1) if seeds > 1 else np.zeros(len(head))
        lines.append(f"| {task} | {' | '.join(f'{a:.2f} ± {b:.2f}' for a, b in zip(means, spreads, strict=True))} |")
    return [*lines, f"\n{box.calls} different messages were sent to the box."]
