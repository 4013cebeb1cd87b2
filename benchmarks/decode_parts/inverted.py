"""Inverse prompting against plain choices: four keywords in, a sentence out, by SmolLM2, at equal numbers of tokens read."""

import numpy as np
import torch

from workbench import decode, models, proposals
from workbench.world import scenes

BEGIN = "<|im_start|>user\nWrite one short sentence with the words {prompt}.<|im_end|>\n<|im_start|>assistant\n"
ASK = 'The sentence "{text}" has the words {prompt}'
LENGTH = 24


def asked(scene, seed=0):
    """The four attributes of a scene as keywords, in any order."""
    parts = [scene.object, scene.color, scene.background, scene.style]
    return ", ".join(parts[i] for i in np.random.default_rng(seed).permutation(4)).lower()


def kept(text, scene):
    """Share of the four attributes that a text says."""
    said = scenes.read(text)
    return float(np.mean([said[name] == getattr(scene, name) for name in scenes.ATTRIBUTES]))


def measure(prompts=40, tries=12, seed=0):
    """Attributes kept, perplexity and tokens read, a prompt each: dict of way -> dict. A rule reads the attributes."""
    lm, rows = models.load_lm("smollm2"), {}
    for number, scene in enumerate(scenes.scenes(prompts, seed + 50)):
        prompt = asked(scene, number)
        begin = BEGIN.format(prompt=prompt)
        config = decode.InverseConfig(ask=ASK, begin=begin, beam=1, tries=tries, max_tokens=LENGTH, seed=number)
        back = decode.inverse(lm, prompt, config)
        law = _Bare(proposals.LMProposal(lm, prefix=begin, max_tokens=LENGTH, top_p=0.95), begin)
        some = law.sample(tries, seed=number)
        each = np.mean([len(one.ids) for one in some])
        pmi = decode.pmi(lm, begin)
        by_pmi = some[int(np.argmax(pmi(some)))]
        more = round(back.read / each)
        likely = max(some + law.sample(max(1, more - tries), seed=number + 7919), key=lambda one: one.log_prob / len(one.ids))
        width = min(more, 16)
        found = {
            "inverse": (str(back.best), back.read),
            "pmi": (by_pmi, tries * each + pmi.read),
            "best of n, likeliest": (likely, more * each),
            "beam search": (_beam(lm, begin, width), width * LENGTH),
        }
        for name, (text, read) in [*found.items(), *(("top-p", (one, each)) for one in some)]:
            rows.setdefault(name, []).append((kept(str(text), scene), str(text).strip(), read))
    fluent, out = proposals.LMProposal(lm, prefix="A sentence:", max_tokens=2 * LENGTH), {}
    for name, some in rows.items():
        some_texts = [text for _, text, _ in some][:60]
        nats = fluent.log_score([f"A sentence: {text}" for text in some_texts])
        sizes = np.array([len(lm.tokenizer(f" {text}").input_ids) + 1 for text in some_texts])
        fine = np.isfinite(nats)
        out[name] = {
            "kept": round(float(np.mean([share for share, *_ in some])), 3),
            "error": round(float(np.std([share for share, *_ in some]) / np.sqrt(prompts)), 3),
            "perplexity": round(float(np.exp(-nats[fine].sum() / sizes[fine].sum())), 1),
            "tokens": round(float(np.mean([read for *_, read in some]))),
            "example": some[0][1],
        }
    return out


def quick(seed=0):
    """`inverse_gain`: share of attributes kept beyond the best of beam search, best of n and top-p, on 4 prompts: noisy."""
    found = measure(prompts=4, tries=6, seed=seed)
    rivals = max(found[name]["kept"] for name in ("beam search", "best of n, likeliest", "top-p"))
    return {"inverse_gain": round(found["inverse"]["kept"] - rivals, 3), "inverse": found}


class _Bare:
    """A language model whose texts come without their beginning."""

    def __init__(self, law, begin):
        self.law, self.begin = law, begin

    def sample(self, n, seed=0):
        """Texts up to the end of their first sentence."""
        from workbench.values import Sample

        out = []
        for one in self.law.sample(n, seed=seed):
            text = str(one).removeprefix(self.begin).strip()
            stop = min((at for mark in ".!?\n" if (at := text.find(mark)) >= 0), default=len(text))
            out.append(Sample(text[: stop + 1], ids=one.ids, log_prob=one.log_prob))
        return out


@torch.inference_mode()
def _beam(lm, begin, width):
    first, end = lm.tokenizer.bos_token_id, proposals.LMProposal(lm)._ends()[0]
    ids = torch.tensor([[first, *lm.tokenizer(begin, add_special_tokens=False).input_ids]])
    options = {"num_beams": width, "do_sample": False, "max_new_tokens": LENGTH, "pad_token_id": end, "eos_token_id": end}
    found = lm.model.generate(ids, attention_mask=torch.ones_like(ids), **options)[0, ids.shape[1] :]
    text = lm.tokenizer.decode(found, skip_special_tokens=True).strip()
    stop = min((at for mark in ".!?\n" if (at := text.find(mark)) >= 0), default=len(text))
    return text[: stop + 1]
