"""Coarse to fine in the writer: many slots at once in a few passes, against one after the other."""

import time

import numpy as np

from workbench.language.dsl import DeepDSL
from workbench.language.dsl.writing import kept
from workbench.language.writer import Decoding
from workbench.world import grammar

WAYS = {"left to right": 0, "1 pass": 1, "2 passes": 2, "3 passes": 3}


def measure(n=24, each=4, seed=0):
    """Steps of the network, seconds, share of slots read as asked, and perplexity, for each way: list of dicts.

    Templates are those of the n prompts with the most commas of 3,000 of the grammar, and all slots are masked. Perplexity
    is per word piece, of the writer from left to right, nothing cut off.
    """
    dsl, decoding = DeepDSL.load("world"), Decoding(temperature=0.9, top_p=0.95)
    prompts = sorted((one.text for one in grammar.generate(3000, seed=seed + 5)), key=lambda text: -text.count(","))
    templates = [one.open() for one in dsl.read(prompts[:n])]
    calls = []
    hook = dsl.writer_.network_.decoder.register_forward_hook(lambda *_: calls.append(1))
    rows = []
    for name, passes in WAYS.items():
        own = Decoding(decoding.temperature, decoding.top_k, decoding.top_p, passes=passes)
        calls.clear()
        begin, samples, steps = time.process_time(), [], 0
        for i, template in enumerate(templates):
            calls.clear()
            samples += dsl.writer_.fill([template], decoding=own, seed=seed + i)
            steps += len(calls)
        seconds = time.process_time() - begin
        more = [one for turn in range(1, each) for one in dsl.writer_.fill(templates, decoding=own, seed=seed + 991 * turn)]
        samples += more
        asked = templates * each
        fillers = [tuple(slot.text for slot in one.template.slots) for one in samples]
        nats = dsl.writer_.score(asked, fillers, decoding=Decoding())
        sizes = [
            sum(len(dsl.writer_.spelled(t, g)) + 1 for t, g in zip(f, dsl.writer_.gaps(a), strict=True))
            for f, a in zip(fillers, asked, strict=True)
        ]
        fine = np.isfinite(nats)
        rows.append(
            {
                "way": name,
                "slots": float(np.mean([len(one.slots) for one in templates])),
                "steps": steps / len(templates),
                "seconds": seconds / len(templates),
                "right": float(np.mean(kept(dsl._reader, samples))),
                "perplexity": float(np.exp(-nats[fine].sum() / np.array(sizes)[fine].sum())),
                "spelled": float(fine.mean()),
            }
        )
    hook.remove()
    return rows
