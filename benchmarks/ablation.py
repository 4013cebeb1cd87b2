"""What each part of the writer's training is for: one small writer per part left out, same prompts, steps and seed.

    python benchmarks/ablation.py [--steps 300] [--train 6000] [--test 200] [--only NAME ...] [--out FILE]

On the built-in grammar. Measured on held-out prompts: nats per word of all fillers with the codes shown and content absent; nats
per word of one word in a gap of no kind; share of the words of open slots written right from their content, of fillers seen and
unseen while learning; perplexity of samples over that of real prompts, by an n-gram model fitted on other prompts, with absent
content and with noise. The writers are far smaller and shorter trained than the shipped one: compare rows, not with other tables.
"""

import argparse
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from workbench import corpus, ngram
from workbench.language.dsl import Decoding, DeepDSL, DSLConfig, WriterConfig
from workbench.language.writer import Writer, batches, examples, losses
from workbench.template import Slot, Template
from workbench.words import WORD, split

BASE = WriterConfig(width=96, layers=2, heads=3, batch=2048, pieces=2500)
VARIANTS = {  # constants of the writer that are changed: (module, name, value)
    "all parts": (),
    "content for few gaps (`P_CONTENT` = 0 leaves some)": ((examples, "P_CONTENT", 0.0),),
    "no KL (`BETA` = 0)": ((losses, "BETA", 0.0),),
    "no free bits": ((losses, "FREE_NATS", 0.0),),
    "KL with weight 1": ((losses, "BETA", 1.0),),
    "no InfoNCE": ((losses, "CONTRAST", 0.0),),
    "no guess of masked slots": ((losses, "GUESS", 0.0),),
    "spelling always in the content": ((batches, "SPELL_TOO", 1.0),),
    "no spelling of random words": ((batches, "RANDOM_WORDS", 0.0),),
    "only templates, no gaps of words": ((examples, "P_TEMPLATE", 1.0), (examples, "P_FREE", 0.0)),
}
DRAWN = Decoding(temperature=0.9, top_p=0.95)
COLUMNS = (
    "nats, fillers",
    "nats, one word",
    "rebuilt, seen",
    "rebuilt, unseen",
    "perplexity, absent",
    "perplexity, noise",
    "minutes",
)


@contextlib.contextmanager
def changed(constants):
    """Set constants of modules, and set them back."""
    before = [(module, name, getattr(module, name)) for module, name, _ in constants]
    for module, name, value in constants:
        setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def one_word(text, rng):
    """The prompt with one word masked, and the word."""
    start, end, _ = rng.choice([w for w in split(text) if w.kind == WORD])
    return Template.build([text[: int(start)], Slot(None), text[int(end) :]]), text[int(start) : int(end)]


def rebuilt(writer, embed, prompts, templates):
    """Shares of words of open slots that are right at their place: fillers seen, fillers unseen."""
    contents = [list(writer.content([s.text for s in t.slots], embed([s.text.lower() for s in t.slots]))) for t in templates]
    greedy = Decoding(temperature=0.01, known=False)
    found = {False: [], True: []}
    for (truth, text), template, filling in zip(
        prompts, templates, writer.fill([t.open() for t in templates], contents, greedy), strict=True
    ):
        unseen = [(f.start, f.end) for f in truth.fillers if f.unseen]
        for slot, written in zip(template.slots, filling.template.slots, strict=True):
            words = written.text.lower().split()
            for i, start in enumerate(_starts(text, slot)):
                new = any(a <= start < b for a, b in unseen)
                if new or any(f.start <= start < f.end for f in truth.fillers):
                    wanted = text[start : slot.end].lower().split()[0]
                    found[new].append(i < len(words) and words[i] == wanted)
    return [float(np.mean(found[new])) for new in (False, True)]


def _starts(text, slot):
    at, out = slot.start, []
    for word in text[slot.start : slot.end].split():
        at = text.index(word, at)
        out.append(at)
        at += len(word)
    return out


def measure(writer, embed, prompts, templates, judge, seed=0):
    """The figures of one writer, without the minutes."""
    opened = [t.open() for t in templates]
    fillers = [tuple(s.text for s in t.slots) for t in templates]
    free = Decoding(known=False)
    n_words = sum(len(ngram.tokens(text)) for one in fillers for text in one)
    nats = -writer.score(opened, fillers, decoding=free).sum() / n_words
    rng = np.random.default_rng(seed)
    gaps, words = zip(*(one_word(text, rng) for _, text in prompts), strict=True)
    one = -writer.score(list(gaps), [(word,) for word in words], decoding=free).mean()
    real = judge.perplexity([ngram.tokens(text) for _, text in prompts])
    fluent = []
    for content in (None, "noise"):
        written = [sample.text for sample in writer.fill(opened, content, DRAWN, seed=seed)]
        fluent.append(judge.perplexity([ngram.tokens(text) for text in written]) / real)
    return [nats, one, *rebuilt(writer, embed, prompts, templates), *fluent]


def main():
    """Train, measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--train", type=int, default=6000)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    train = corpus.load("world", n=args.train, progress=False)
    test = corpus.load("world", n=args.test, seed=1, split="test", progress=False)
    others = corpus.load("world", n=args.train, seed=2, progress=False)
    dsl = DeepDSL.fit(train, DSLConfig(writer=None), progress=False)
    templates, held_out = dsl.read(list(train)), dsl.read(list(test))
    rows = [i for i, template in enumerate(held_out) if template.slots]
    prompts, held_out = [(test.truth(i), test[i]) for i in rows], [held_out[i] for i in rows]
    judge = ngram.KneserNey().fit([ngram.tokens(text) for text in others])
    embed, lexicon = dsl.encoder.embed_words, [w for w in dsl.encoder.tokenizer.get_vocab() if len(w) > 2 and w.isalpha()]
    lines = [f"| {args.steps} steps | {' | '.join(COLUMNS)} |", "| --- " * (1 + len(COLUMNS)) + "|"]
    for name in args.only:
        started = time.perf_counter()
        writer = Writer(replace(BASE, steps=args.steps))
        with changed(VARIANTS[name]):
            writer.fit(templates, embed, len(dsl.codes), sorted(lexicon), progress=False)
        figures = measure(writer, embed, prompts, held_out, judge)
        minutes = (time.perf_counter() - started) / 60
        lines.append(f"| {name} | {' | '.join(f'{x:.3g}' for x in (*figures, minutes))} |")
        print(lines[-1], flush=True)
    print("\n" + "\n".join(lines))
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
