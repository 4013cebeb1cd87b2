"""The frozen model of a soft prompt: what it makes of vectors and texts. Only embeddings go in, only keys and values are kept."""

import contextlib
from typing import NamedTuple

import numpy as np
import torch
from transformers import DynamicCache

_SEQUENCES = 192  # in one forward, each label of several tokens counted
_POSITIONS = 1536  # of texts in one forward, padding counted
_PACKED = 512  # of texts in one row: with more, attention over other texts, which is hidden, costs more than it saves
_KEPT = 1 << 30  # bytes of keys and values of texts that are kept at most; beyond, they are computed again in each step


class Past(NamedTuple):
    """What was read: keys and values of each layer (b, h, t, d), which of the t are no padding, and how many: (b, t), (b,)."""

    pairs: list
    there: torch.Tensor
    lengths: torch.Tensor

    def of(self, rows):
        """What was read of some rows."""
        rows = torch.tensor(rows, device=self.lengths.device)
        return Past([(keys[rows], values[rows]) for keys, values in self.pairs], self.there[rows], self.lengths[rows])


class Packed(NamedTuple):
    """What was read in one row: keys and values of each layer (1, h, t, d), and for each text which of the t it has seen."""

    pairs: list
    seen: list

    def of(self, rows):
        """What was read of some texts, each in a row of its own."""
        seen = [self.seen[r] for r in rows]
        places = torch.nn.utils.rnn.pad_sequence(seen, batch_first=True)
        lengths = torch.tensor([len(one) for one in seen], device=places.device)
        there = torch.arange(places.shape[1], device=places.device) < lengths[:, None]
        pairs = [tuple(part[0][:, places].transpose(0, 1) for part in pair) for pair in self.pairs]
        return Past(pairs, there, lengths)


@contextlib.contextmanager
def frozen(lm):
    """The weights of a model need no gradients and its dropout is off; afterwards both are as before."""
    model, weights, modes = lm.model, list(lm.model.parameters()), [part.training for part in lm.model.modules()]
    needed = [weight.requires_grad for weight in weights]
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for weight, need in zip(weights, needed, strict=True):
            weight.requires_grad_(need)
        for part, mode in zip(model.modules(), modes, strict=True):
            part.training = mode


class Frozen:
    """A model with some prompts, each with rows of its own.

    Args:
        lm: `models.LM`.
        config: `SoftConfig`.
        tasks: list of p `Rows`.
        keep: bool, keep the keys and values of all texts, for many steps.
    """

    def __init__(self, lm, config, tasks, keep=False):
        self.lm, self.config, self.tasks = lm, config, tasks
        self.table, self.half = lm.model.get_input_embeddings().weight.detach(), lm.model.dtype == torch.bfloat16
        self._kept = {}
        if keep and config.layout == "suffix":
            self._keep()

    # ---- losses -----------------------------------------------------------------------------------------------------------

    def losses(self, vectors, items, backward=False):
        """Loss of each prompt on some rows, and what is predicted.

        Args:
            vectors: list of p float32 tensors (k, w), k may differ.
            items: list of (number of the prompt, number of the row).
            backward: bool, add the gradient of the sum of the losses to `vectors[j].grad`.

        Returns:
            (list of p floats, nats; dict of item -> number of the class, empty without labels).
        """
        total, found, predicted = [0.0] * len(vectors), [0.0] * len(vectors), {}
        for j, i in items:
            total[j] += self._weight(j, i, len(vectors[j]))
        for part in self.parts(items):
            with torch.set_grad_enabled(backward):
                terms = [(j, value / max(1, total[j])) for j, value in self._terms(vectors, part, predicted)]
                whole = sum(value for _, value in terms)
                if whole.requires_grad:  # not without vectors
                    whole.backward()
            for j, value in terms:
                found[j] += float(value.detach())
        return found, predicted

    def parts(self, items):
        """Items in parts for one forward each, near in length: list of lists."""
        out, room, size, packed = [], 0, 0, self.config.layout == "prefix"
        texts, labelled = {(j, i): self.tasks[j].texts[i] for j, i in items}, [bool(task.classes) for task in self.tasks]
        order = sorted(items, key=lambda item: (labelled[item[0]], len(texts[item]), texts[item], item))
        for j, i in order:  # equal texts together
            cost, length = 1 + sum(len(label) > 1 for label in self.tasks[j].labels), len(self.tasks[j].texts[i])
            size = size + length if packed else (len(out[-1]) + 1) * length if out else 0
            other = out and labelled[j] != labelled[out[-1][0][0]]
            if not out or other or cost > room or size > (_PACKED if packed else _POSITIONS):
                out, room, size = [*out, []], max(_SEQUENCES, cost), length
            out[-1].append((j, i))
            room -= cost
        return out

    def _weight(self, j, i, vectors):
        """What the loss of a row is divided by, together with those of the others."""
        task = self.tasks[j]
        if not task.classes:
            return len(task.texts[i]) - (vectors == 0)  # without vectors nothing predicts the first token
        return len(task.labels[task.targets[i]]) if self.config.loss == "likelihood" else 1

    def _terms(self, vectors, part, predicted):
        """Sums of losses over the rows of a part: pairs (prompt, scalar)."""
        if not self.tasks[part[0][0]].classes:
            return self._text_nats(vectors, part)
        terms = []
        for (j, rows), scores in zip(by_prompt(part).items(), self.scores(vectors, part), strict=True):
            terms.append((j, loss_sum(self.config.loss, scores, self.tasks[j].targets[rows].to(scores.device))))
            predicted.update({(j, i): best for i, best in zip(rows, scores.argmax(1).tolist(), strict=True)})
        return terms

    # ---- what the model says ------------------------------------------------------------------------------------------------

    def scores(self, vectors, part):
        """Log-probabilities of whole labels: for each prompt of `part` in the order of `by_prompt`, float32 (b, c), nats."""
        groups = by_prompt(part)
        ends, past = self.ends(vectors, part)
        first, row, out, several = self._law(ends), 0, [], []
        for j, rows in groups.items():
            labels = self.tasks[j].labels
            out.append(first[row : row + len(rows)][:, [label[0] for label in labels]])
            at = sum(found.numel() for found in out[:-1])
            for r in range(len(rows)):
                several += [(row + r, at + r * len(labels) + c, label) for c, label in enumerate(labels) if len(label) > 1]
            row += len(rows)
        if not several:
            return out
        flat = torch.cat([found.flatten() for found in out])
        at = torch.tensor([place for _, place, _ in several], device=flat.device)
        flat = flat.index_add(0, at, self._rest(past, [r for r, _, _ in several], [label for _, _, label in several]))
        sizes = [found.numel() for found in out]
        return [some.view_as(found) for some, found in zip(flat.split(sizes), out, strict=True)]

    def ends(self, vectors, part):
        """Where answers begin: (float (b, w), the last states of items in the order of `by_prompt`; what was read)."""
        part = [(j, i) for j, rows in by_prompt(part).items() for i in rows]
        if self.config.layout == "prefix":
            return self._packed(vectors, part)
        (states, sizes), past = self._read(self._texts(part), *_padded([vectors[j] for j, _ in part]))
        return states[torch.arange(len(part), device=sizes.device), sizes - 1], past

    def behind(self, rows, vectors, layers=False):
        """States of vectors (k, w) that stand behind each of n lists of tokens.

        Returns:
            float32 (n, k, w), the last states; with `layers` (n, k, (layers + 1) * w), those of the embeddings and all layers.
        """
        with torch.no_grad():
            past = self._read(None, *self._ids(rows))[1]
        k = len(vectors)
        there = torch.cat([past.there, past.there.new_ones(len(rows), k)], 1)
        positions = past.lengths[:, None] + torch.arange(k, device=there.device)[None]
        found = self._base(vectors.expand(len(rows), -1, -1), there.long(), positions, past.pairs, output_hidden_states=layers)
        return torch.cat(found.hidden_states, -1).float() if layers else found.last_hidden_state

    def _rest(self, past, rows, labels):
        """Log-probabilities (m,) of the tokens of labels after the first one, each after a row of what was read."""
        past = past.of(rows)
        (states, sizes), _ = self._read(past, *self._ids([label[:-1] for label in labels]))
        there = torch.arange(states.shape[1], device=sizes.device) < sizes[:, None]
        following = torch.tensor([token for label in labels for token in label[1:]], device=sizes.device)
        found = self._law(states[there]).gather(1, following[:, None])[:, 0]
        return torch.zeros(len(labels), device=found.device).index_add(0, there.nonzero()[:, 0], found)

    def _text_nats(self, vectors, part):
        """Nats of the tokens of texts after their prompts: pairs (prompt, sum)."""
        out = []
        for (j, i), law in zip(part, self.laws(vectors, part), strict=True):
            said = torch.tensor(self.tasks[j].texts[i][len(vectors[j]) == 0 :], device=law.device)
            out.append((j, -law.gather(1, said[:, None]).sum()))
        return out

    def laws(self, vectors, part):
        """Log-probabilities of each token of texts after their prompts: for each item float32 (t, v), nats.

        Without vectors nothing predicts the first token, and t is one less.
        """
        rows = [self.tasks[j].texts[i] for j, i in part]
        embeds = [torch.cat([vectors[j], self._embed(row[:-1])]) for (j, _), row in zip(part, rows, strict=True)]
        (states, _), _ = self._read(None, *_padded(embeds))
        for r, ((j, _), row) in enumerate(zip(part, rows, strict=True)):
            yield self._law(states[r, max(0, len(vectors[j]) - 1) : len(vectors[j]) + len(row) - 1])

    def write(self, vectors, rows, steps):
        """Logits (n, v) of the next token after vectors (k, w) and n `rows`, lists of tokens that the caller makes longer."""
        (states, sizes), past = self._read(None, *_padded([vectors] * len(rows)))
        for _ in range(steps):
            yield self._logits(states[:, -1])
            longest = max(map(len, rows))  # rows that have ended read on, and nobody looks
            (states, sizes), past = self._read(past, *self._ids([[(row + [0] * longest)[longest - 1]] for row in rows]))

    def states(self, rows):
        """Hidden states of lists of tokens after the last layer, without a prompt: list of (t, w), t as in each row."""
        (states, sizes), _ = self._read(None, *self._ids(rows))
        return [state[:size] for state, size in zip(states, sizes.tolist(), strict=True)]

    def _law(self, states):
        """Log-probabilities (m, v) of the next token, float32, nats, after states (m, w)."""
        return self._logits(states).log_softmax(-1)

    def _logits(self, states):
        head = self.lm.model.get_output_embeddings()
        return head(states.to(head.weight.dtype)).float()

    # ---- how it reads -------------------------------------------------------------------------------------------------------

    def _read(self, past, embeds, sizes):
        """Read vectors (b, t, w), the first `sizes` (b,) of each row, after what was read: ((states (b, t, w), sizes), Past)."""
        b, t = embeds.shape[:2]
        if past is None:
            past = Past([], torch.zeros(b, 0, dtype=torch.bool, device=sizes.device), torch.zeros_like(sizes))
        places = torch.arange(t, device=sizes.device)[None]
        there = torch.cat([past.there, places < sizes[:, None]], 1)
        positions = past.lengths[:, None] + torch.minimum(places, (sizes[:, None] - 1).clamp(min=0))
        states, pairs = self._forward(embeds, there.long(), positions, past.pairs)
        return (states, sizes), Past(pairs, there, past.lengths + sizes)

    def _packed(self, vectors, part):
        """Read texts behind their prompts, all in one row: each sees itself and its prompt, and nothing is read twice or padded.

        Returns:
            (float32 (b, w), the states at the ends of the texts; `Packed`).
        """
        used = sorted({j for j, _ in part})
        pieces = [vectors[j] for j in used] + [self._embed(self.tasks[j].texts[i]) for j, i in part]
        heads = [*range(len(used)), *(used.index(j) for j, _ in part)]  # the prompt of each piece
        sizes, device = [len(piece) for piece in pieces], self.table.device
        ends = np.cumsum(sizes)
        owner = torch.tensor(np.repeat(range(len(pieces)), sizes), device=device)
        before = [0] * len(used) + [sizes[head] for head in heads[len(used) :]]
        positions = torch.tensor(np.concatenate([np.arange(n) + m for n, m in zip(sizes, before, strict=True)]), device=device)
        head = torch.tensor(heads, device=device)[owner]
        seen = ((owner[:, None] == owner) | (head[:, None] == owner)).tril()
        kind = torch.bfloat16 if self.half else torch.float32
        mask = torch.zeros(seen.shape, dtype=kind, device=device).masked_fill(~seen, torch.finfo(kind).min)
        states, pairs = self._forward(torch.cat(pieces)[None], mask[None, None], positions[None], [])
        spans = [torch.arange(end - n, end, device=device) for n, end in zip(sizes, ends.tolist(), strict=True)]
        rows = [torch.cat([spans[h], span]) for h, span in zip(heads[len(used) :], spans[len(used) :], strict=True)]
        return states[0, torch.tensor(ends[len(used) :] - 1, device=device)], Packed(pairs, rows)

    def _forward(self, embeds, mask, positions, pairs):
        """States (b, t, w) of vectors (b, t, w), and keys and values of each layer after `pairs`."""
        found = self._base(embeds, mask, positions, pairs)
        return found.last_hidden_state, [(layer.keys, layer.values) for layer in found.past_key_values.layers]

    def _base(self, embeds, mask, positions, pairs, **more):
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(pairs):
            cache.update(keys, values, layer)
        with torch.autocast(embeds.device.type, torch.bfloat16, enabled=self.half):  # the sum of the layers stays in float32
            return self.lm.model.base_model(
                inputs_embeds=embeds, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, **more
            )

    def _texts(self, part):
        """What is read of the texts of items."""
        if part[0] not in self._kept:
            rows = [tuple(self.tasks[j].texts[i]) for j, i in part]
            place = {row: number for number, row in enumerate(dict.fromkeys(rows))}  # several prompts may ask about one text
            with torch.no_grad():
                past = self._read(None, *self._ids(place))[1]
            return past if len(place) == len(rows) else past.of([place[row] for row in rows])
        kept = [self._kept[item] for item in part]  # (layers, 2, h, t, d)
        longest = max(one.shape[3] for one in kept)
        layers, _, h, _, d = kept[0].shape
        pairs = kept[0].new_zeros(layers, 2, len(part), h, longest, d)
        for r, one in enumerate(kept):
            pairs[:, :, r, :, : one.shape[3]] = one
        lengths = torch.tensor([one.shape[3] for one in kept], device=self.table.device)
        there = torch.arange(longest, device=lengths.device) < lengths[:, None]
        return Past([(keys, values) for keys, values in pairs], there, lengths)

    def _keep(self):
        """Keep the keys and values of all texts, if they are not too many."""
        items = [(j, i) for j, task in enumerate(self.tasks) for i in range(len(task.texts))]
        tokens = sum(len(self.tasks[j].texts[i]) for j, i in items)
        for part in self.parts(items):
            past = self._texts(part)
            whole = torch.stack([torch.stack(pair) for pair in past.pairs])  # (layers, 2, b, h, t, d)
            if whole[:, :, 0, :, 0].numel() * whole.element_size() * tokens > _KEPT:
                return
            for r, item in enumerate(part):
                self._kept[item] = whole[:, :, r, :, : int(past.lengths[r])].clone()

    def _ids(self, rows):
        """Embeddings (b, t, w) of lists of tokens, padded, and their lengths (b,)."""
        return _padded([self._embed(row) for row in rows])

    def _embed(self, row):
        return self.table[torch.tensor(row, dtype=torch.long, device=self.table.device)].float()


def by_prompt(part):
    """Items by their prompt: dict of prompt -> list of rows, in the order of the prompts."""
    out = {}
    for j, i in sorted(part):
        out.setdefault(j, []).append(i)
    return out


def loss_sum(name, scores, targets):
    """The sum over rows of a loss of `SoftConfig`: scores float (b, c), nats, and targets int64 (b,) -> scalar."""
    if name == "likelihood":
        return -scores.gather(1, targets[:, None]).sum()
    if name == "hinge":
        return torch.nn.functional.multi_margin_loss(scores, targets, reduction="sum")
    if name == "mse":
        right = torch.nn.functional.one_hot(targets, scores.shape[1])
        return (scores.softmax(1) - right).square().mean(1).sum()
    return torch.nn.functional.cross_entropy(scores, targets, reduction="sum")


def _padded(rows):
    """Float tensors (t, w) as one (b, t, w) with zeros behind the shorter ones, and their lengths int64 (b,)."""
    lengths = torch.tensor([len(row) for row in rows], device=rows[0].device)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths
