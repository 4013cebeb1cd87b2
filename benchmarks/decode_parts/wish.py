"""One table for one wish, "night": every way to it that the package has, on the built-in language model."""

import copy
import time

import numpy as np
import torch
from transformers import SuppressTokensLogitsProcessor

from decode_parts import critic as parts
from workbench import decode, guide, models, proposals, training
from workbench.search.policy import Play, reinforce

ASKED = 0.95
_SOFT = 4  # vectors of the soft prompt


def table(n=1000, seed=0, steps=60):
    """Rows: list of dicts with `control`, `perplexity` (ratio), `distinct2`, `apart`, `tokens`, `seconds`, `learning`.

    `apart` is the total variation to texts of the exact conditional law, over the worst of four attributes and the form; two
    sets of the exact law are apart too, see its row. `tokens` are read by the model for each text that is as wished, `seconds`
    CPU seconds for each, `learning` CPU seconds before the first text.
    """
    lm = models.load_lm("world")
    base = proposals.LMProposal(lm)
    exact, _ = parts.conditional(base, 2 * n, seed + 99)
    usual = parts.perplexity(base, base.sample(n, seed=seed + 98))
    rows = []

    def add(name, write, learning=0.0, read=lambda: 0):
        begin = time.process_time()
        samples, drawn = write()
        seconds = time.process_time() - begin
        texts = [str(one).strip() for one in samples]
        good = int(parts.WISH(texts).sum())
        rows.append(
            {
                "way": name,
                "control": round(good / len(texts), 3),
                "perplexity": round(parts.perplexity(base, texts) / usual, 3),
                "distinct2": round(parts.distinct2(texts), 3),
                "apart": round(parts.apart(texts, exact), 3),
                "tokens": round((drawn + read()) / max(1, good), 1),
                "seconds": round(seconds / max(1, good), 4),
                "learning": round(learning, 1),
            }
        )
        print(rows[-1], flush=True)

    def of(law):
        def write():
            found = law.sample(n, seed=seed + 1)
            return found, sum(len(one.ids) for one in found)

        return write

    add("as it is", of(base))
    add("exact law", lambda: _exact(base, n, seed))
    begin = time.process_time()
    ebm = guide.constrain(base, {parts.WISH: 1.0}, n=4096, seed=seed)
    add("guide, quasi-rejection", lambda: _guided(ebm, n, seed), time.process_time() - begin)
    add("prompt 'night, '", of(base.given("night, ")))
    add("words blocked", of(decode.blocked(base, ["snow", "desert", "meadow", "sea", "rain"])))
    add("one step ahead, k = 10", of(decode.lookahead(base, parts.WISH)))
    critic, seconds = parts.learn(base, 6000, 600, seed=seed)
    for k in (10, 40):
        law = critic.steer(base, k)
        add(f"critic, k = {k}", of(law), seconds, lambda law=law: law.processor.read)
    begin = time.process_time()
    law, names = _soft(lm, [one for one in base.sample(4000, seed=seed + 7) if "night" in one], steps, seed)
    seconds = time.process_time() - begin

    def soft():
        found, read = of(law)()
        return [str(one).replace(names, "") for one in found], read + n * _SOFT

    add("soft prompt", soft, seconds)
    begin = time.process_time()
    tuned = guide.tune(base, ebm, steps=steps, config=guide.TuneConfig(batch=256, rate=1e-3, seed=seed), progress=False)
    add("tuned weights", of(tuned.proposal), time.process_time() - begin)
    begin = time.process_time()
    add("reinforced weights", of(_reinforced(base, steps, seed)), time.process_time() - begin)

    def inverse():
        # no gain is expected: this model names a place once, so that "night" is least likely behind a text that has said it
        config = decode.InverseConfig(ask="{text}, {prompt}", stops="@", beam=1, tries=8, max_tokens=base.max_tokens, top_p=1.0)
        found = [decode.inverse(lm, "night", config.replace(seed=seed * n + i)) for i in range(n)]
        return [one.best for one in found], sum(one.read for one in found)

    add("inverse prompting", inverse)
    return rows


def _exact(base, n, seed):
    found, drawn = parts.conditional(base, n, seed)
    return found, round(drawn * np.mean([len(one.ids) for one in found]))


def _guided(ebm, n, seed):
    """Texts by `guide`, whose law is the exact one: the only weights are 0 and 1, so beta 1 is exact rejection."""
    found = guide.quasi_rejection(ebm, beta=1.0, n=n, seed=seed, pool=n)
    return found.samples, round(found.proposed * np.mean([len(one.ids) for one in found.samples]))


def _soft(lm, texts, steps, seed):
    """A soft prompt for texts: the model with new tokens, as a proposal, and the text of these tokens."""
    model, tokenizer = copy.deepcopy(lm.model), copy.deepcopy(lm.tokenizer)
    names = [f"<soft{i}>" for i in range(_SOFT)]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    old = model.config.vocab_size
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.resize_token_embeddings(old + _SOFT, mean_resizing=False)
    table, holder = model.get_input_embeddings(), torch.nn.Module()
    holder.soft = torch.nn.Parameter(table.weight[:_SOFT].detach().clone())
    base = proposals.LMProposal(lm)
    begin, rows = base._begin(), [torch.tensor(one.ids) for one in texts]

    def loss(step):
        picked = np.random.default_rng([seed, step]).choice(len(rows), 64)
        ids = torch.nn.utils.rnn.pad_sequence([rows[i] for i in picked], True, -100)
        first = table(torch.tensor([begin] * len(ids)))
        x = torch.cat([first, holder.soft.expand(len(ids), -1, -1), table(ids[:, :-1].clamp(min=0))], 1)
        logits = model(inputs_embeds=x).logits[:, len(begin) + _SOFT - 1 :, :old]
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=-100)

    training.train(
        loss,
        {"soft": holder},
        training.adamw(holder, weight_decay=0.0),
        5 * steps,
        training.cosine(3e-2, 5 * steps),
        progress=False,
    )
    with torch.no_grad():
        table.weight[old:] = holder.soft
    blocked = SuppressTokensLogitsProcessor([*range(old, old + _SOFT)])
    law = proposals.LMProposal(models.LM("soft", model, tokenizer), prefix="".join(names), processor=blocked)
    return law, "".join(names)


def _reinforced(base, steps, seed):
    """The model after policy gradients on the wish: a proposal."""
    policy = base.copy()
    model, begin = policy.lm.model, base._begin()

    def play(step):
        texts = policy.sample(64, seed=seed + 31 * step)
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(one.ids) for one in texts], True, 0)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(one.ids), dtype=torch.bool) for one in texts], True)
        line = torch.cat([torch.tensor([begin] * len(ids)), ids[:, :-1]], 1)

        def logs(one):
            found = one(input_ids=line).logits[:, len(begin) - 1 :].log_softmax(-1)
            return found.gather(2, ids[..., None])[..., 0][None]

        with torch.no_grad():
            start = logs(base.lm.model)
        return Play(logs(model), parts.WISH(texts)[None], mask[None], start)

    reinforce(play, {"policy": model}, 2 * steps, 3e-4, beta=0.02, seed=seed, progress=False)
    model.requires_grad_(False)
    return policy
