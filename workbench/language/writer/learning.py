"""Learning: the losses of the writer and its training loop, which can be stopped and goes on where it was."""

import contextlib
import hashlib
import json
import math
import time
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm

from workbench import artifacts, files
from workbench.language.writer.config import SPELLED
from workbench.language.writer.examples import Masker
from workbench.language.writer.layout import batch, rounded
from workbench.language.writer.network import visible_mask
from workbench.language.writer.tokens import END, PAD
from workbench.values import ArtifactError

_POOL = 24  # steps whose prompts are sorted by length together
_WARM = 100  # steps until the full rate; of a short run a quarter
_BOUND = 0.1  # weight of the KL term of spelling against that of meaning
_EVERY = 250  # steps between checkpoints
_CHECKPOINT = "writer-checkpoint"


class Words(NamedTuple):
    """Random words to spell: `ids` list of tuples of pieces, `features` float32 (w, f)."""

    ids: list
    features: np.ndarray


class Trainer:
    """Trains a `Network` on `Prompts`.

    Args:
        network: `Network`.
        config: `WriterConfig`.
        prompts: `Prompts`.
        fillers: (list of tuples of pieces, float32 (m, f)): pieces and features of each filler.
        n_codes: int, codes of the codebook.
        lexicon: `Words`, to learn to spell with.
    """

    def __init__(self, network, config, prompts, fillers, n_codes, lexicon, seed=0):
        self.seed = seed
        self.network, self.config, self.prompts, self.lexicon = network, config, prompts, lexicon
        self.ids, self.features = fillers
        self.masker = Masker(config, prompts, n_codes)
        self.device = next(network.parameters()).device
        self.optimizer, self.total = self._optimizer(), config.steps * config.rounds
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.adversary = Adversary(config, n_codes, self.device) if config.adversary else None
        self.step, self.history, self.seconds = 0, [], 0.0

    def _optimizer(self):
        decay = [p for p in self.network.parameters() if p.ndim > 1]
        other = [p for p in self.network.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.02}, {"params": other, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.config.rate, betas=(0.9, 0.98))

    def run(self, folder=None, progress=True):
        """Train to the last step. With a folder, checkpoints go there, and a run that was stopped goes on from the latest.

        Returns:
            list of dicts, means over stretches of steps: `step`, `nats` per written piece, `kl` per slot, `guess`, `contrast`.

        Raises:
            ArtifactError: the folder holds the checkpoint of another run.
        """
        if folder is not None:
            self._restore(folder)
        config, sums, self._since = self.config, {}, time.perf_counter()
        self.network.train()
        with tqdm(total=self.total, initial=self.step, desc="writer", unit="step", disable=not progress) as bar:
            for layouts, slots in self._batches():
                if self.step >= self.total:
                    break
                if self.step and self.step % config.steps == 0:
                    # Warm restart (Loshchilov and Hutter, arXiv:1608.03983) from what a run of fewer rounds would have saved.
                    halved(self.network)
                    self.optimizer = self._optimizer()
                rate = config.rate * _schedule(self.step % config.steps, config.steps)
                for group in self.optimizer.param_groups:
                    group["lr"] = rate
                generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + self.step)
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(self.seed * 1_000_003 + self.step)
                    values = self._train(layouts, slots, generator)
                self.step += 1
                for name, value in values.items():
                    sums.setdefault(name, []).append(value)
                bar.update()
                if self.step % 50 == 0 or self.step == self.total:
                    means = {name: round(float(np.mean(v)), 4) for name, v in sums.items()}
                    self.history.append({"step": self.step, **means})
                    bar.set_postfix({"nats": means["nats"]})
                    sums = {}
                if folder is not None and self.step % _EVERY == 0 and self.step < self.total:
                    self._keep(folder)
        self.network.eval()
        self.seconds += time.perf_counter() - self._since
        return self.history

    def _batches(self):
        """Endless (layouts, rows of features) from the present step on; the same for the same seed, wherever it starts."""
        config, step = self.config, 0
        lengths = self.prompts.lengths()
        per_prompt = float(lengths.mean()) + 24
        size = max(1, int(config.batch / per_prompt))  # prompts of a step, on average
        order, turn = np.zeros(0, np.int64), 0
        while True:
            while len(order) < size * _POOL:
                order = np.concatenate([order, np.random.default_rng([self.seed, 1, turn]).permutation(len(lengths))])
                turn += 1
            chosen, order = order[: size * _POOL], order[size * _POOL :]
            rng = np.random.default_rng([self.seed, 2, step])
            chosen = chosen[np.argsort(lengths[chosen] + rng.uniform(0, 4, len(chosen)), kind="stable")]
            piles = np.array_split(chosen, _POOL)
            for pile in rng.permutation(_POOL):
                if step >= self.step:
                    mine = np.random.default_rng([self.seed, 3, step])
                    yield self._draw(piles[pile], mine)
                step += 1

    def _draw(self, rows, rng):
        layouts, slots = [], []
        for row in rows:
            layout, found = self.masker.draw(int(row), rng)
            if layout.length > self.config.window or not layout.gaps:  # many gaps in a long prompt, or no slot to open
                layout, found = self.masker.free(int(row)), []
            shifted = [g._replace(slot=g.slot + len(slots)) if g.slot >= 0 else g for g in layout.gaps]
            contents = [(self.ids[f], self.features[f], rng.random() < self.config.told) for f in found]
            for i, gap in enumerate(shifted):
                if gap.slot >= 0 and len(self.lexicon.ids) and rng.random() < self.config.spelling:
                    ids, feature = _phrase(self.lexicon, rng)
                    contents[gap.slot - len(slots)] = (ids, feature, True)  # no meaning could say them
                    shifted[i] = gap._replace(fill=ids)
            layouts.append(layout._replace(gaps=shifted))
            slots += contents
        return layouts, slots

    def _train(self, layouts, slots, generator):
        network = self.network
        loss, values = self.losses(layouts, slots, generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        self.optimizer.step()
        if self.adversary is not None:
            values["adversary"] = self.adversary.learn()
        return values

    def losses(self, layouts, slots, generator):
        """The weighted loss of a batch, and its terms as floats.

        Source:
            ELBO with free bits: Kingma et al., arXiv:1606.04934, section 2.4 and appendix C.8; a prior that depends on the
            context: Sohn et al. 2015, "Learning structured output representation using deep conditional generative models";
            InfoNCE: van den Oord et al., arXiv:1807.03748.
        """
        config, network = self.config, self.network
        arrays = batch(layouts, END)
        ids, codes, places, gap, where, steps, targets, prefix, neighbours, starts, truth, rows = (
            torch.as_tensor(a, device=self.device) for a in arrays
        )
        b, t = ids.shape
        with torch.autocast(self.device.type, torch.bfloat16, enabled=fast_halves(self.device)):
            content = None
            if slots:
                n_slots, spare = len(slots), rounded(len(slots), 64) - len(slots)
                spelled = np.pad(spelled_rows([ids for ids, _, _ in slots]), ((0, spare), (0, 0)))
                features = np.pad(np.stack([f for _, f, _ in slots]), ((0, spare), (0, 0)))
                spelled, features = torch.as_tensor(spelled, device=self.device), torch.as_tensor(features, device=self.device)
                told = torch.tensor([t for _, _, t in slots] + [False] * spare, device=self.device)
                read = torch.ones(len(told), config.content_dims + config.spelled_dims, device=self.device)
                read[:, config.content_dims :] = told[:, None]
                if config.content == "global":
                    owner = np.full(n_slots + spare, b, np.int64)
                    for i, layout in enumerate(layouts):
                        owner[[g.slot for g in layout.gaps if g.slot >= 0]] = i
                    mean, scale = pooled(network, spelled, features, torch.as_tensor(owner, device=self.device), b + 1)
                else:
                    mean, scale = network.posterior(spelled, features)
                z = read * (mean + scale.exp() * torch.randn(mean.shape, generator=generator, device=self.device))
                seen = torch.nonzero(where.reshape(-1) >= 0)[:, 0]
                seen = functional.pad(seen, (0, rounded(len(seen), 256) - len(seen)), value=b * t)
                slot_of, written = (functional.pad(x.reshape(-1), (0, 1))[seen] for x in (where, steps))
                mapped = network.mapping(z[slot_of], written)
                content = mapped.new_zeros(b * t + 1, mapped.shape[1]).index_copy(0, seen, mapped)[:-1].view(b, t, -1)
            x = network.embed(ids, codes, gap, neighbours, content)
            numbers = torch.arange(t, device=self.device).expand(b, t)
            hidden, _ = network.decoder(x, numbers, places, visible_mask(prefix if network.two_way else prefix * 0, t))
            flat = hidden.reshape(b * t, -1)
            wanted = torch.nonzero(targets.reshape(-1) >= 0)[:, 0]
            n = len(wanted)
            wanted = functional.pad(wanted, (0, rounded(n, 256) - n))
            sought = targets.reshape(-1)[wanted]
            sought[n:] = -100
            nats = functional.cross_entropy(network.logits(flat[wanted]), sought, reduction="sum", ignore_index=-100)
            loss = nats / n
            values = {"nats": float(nats.detach()) / n}
            begun = flat[starts]
            if (truth >= 0).any():
                guess = functional.cross_entropy(network.guess(begun).float(), truth, ignore_index=-1)
                loss = loss + config.masked * guess
                values["guess"] = float(guess.detach())
            if slots:
                slot_gaps = torch.nonzero(rows >= 0)[:, 0]
                order = slot_gaps[torch.argsort(rows[slot_gaps])]  # gap of each content row
                prior_mean, prior_scale = network.prior_of(begun[functional.pad(order, (0, spare))])
                # spelling has the standard normal distribution as its prior
                prior_mean, prior_scale = (functional.pad(x, (0, config.spelled_dims)) for x in (prior_mean, prior_scale))
                prior_mean, prior_scale, mean, scale, read = (x[:n_slots] for x in (prior_mean, prior_scale, mean, scale, read))
                kl = prior_scale - scale + ((2 * scale).exp() + (mean - prior_mean) ** 2) / (2 * (2 * prior_scale).exp()) - 0.5
                # It is never drawn from that: its prior only keeps it in bounds.
                weights = torch.ones(kl.shape[1], device=self.device)
                weights[config.content_dims :] = _BOUND
                kl, counted = kl * read * weights, read.sum(0)
                freed = (torch.clamp(kl.sum(0) / counted.clamp(min=1), min=config.free_nats) * counted).sum()
                loss = loss + config.beta * freed / n
                values["kl"] = float(kl.detach().sum(1).mean())
                if config.contrast:
                    begin = network.mapping(z, torch.zeros(len(z), dtype=torch.int64, device=z.device))
                    near = info_nce(network.features(begin), features, n_slots)
                    loss = loss + config.contrast * near
                    values["contrast"] = float(near.detach())
                if self.adversary is not None:
                    codes_told = codes.reshape(-1)[starts[order]].clamp(max=self.masker.mask)
                    drawn = prior_mean + prior_scale.exp() * torch.randn(mean.shape, generator=generator, device=self.device)
                    ours, theirs = (x[:, : config.content_dims] for x in (z[:n_slots], drawn))
                    loss = loss + config.adversary * self.adversary.fooled(ours, theirs, codes_told)
        return loss, values

    def _run(self):
        """What tells this run from others: a digest of its options, prompts and features."""
        digest = hashlib.sha256(json.dumps([asdict(self.config), self.seed, self.ids, self.lexicon.ids], default=int).encode())
        for array in (*self.prompts, self.features, self.lexicon.features):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def _keep(self, folder):
        tensors = _frozen("network", self.network, "moment", self.optimizer)
        if self.adversary is not None:
            tensors |= _frozen("adversary", self.adversary, "fooled", self.adversary.optimizer)
        seconds = round(self.seconds + time.perf_counter() - self._since, 1)
        state = {"run": self._run(), "step": self.step, "history": self.history, "seconds": seconds}
        artifacts.save(folder, _CHECKPOINT, state, tensors)

    def _restore(self, folder):
        if not folder.is_dir():
            return
        try:
            config, tensors = artifacts.load(folder, _CHECKPOINT)
        except ArtifactError:
            _clear(folder)  # cut off or damaged: from the beginning
            return
        if config.get("run") != self._run():
            raise ArtifactError(
                f"{folder} holds the checkpoint of another run: other prompts, options or features, stopped at step "
                f"{config.get('step')}. Give another folder, or remove this one."
            )
        _thaw(tensors, "network", self.network, "moment", self.optimizer)
        if self.adversary is not None:
            _thaw(tensors, "adversary", self.adversary, "fooled", self.adversary.optimizer)
        self.step, self.history, self.seconds = config["step"], config["history"], config.get("seconds", 0.0)


def halved(network):
    """Round weights to float16, as they are saved: a loaded writer then writes the same."""
    with torch.no_grad():
        for p in network.parameters():
            p.copy_(p.half().float())


class Adversary(torch.nn.Module):
    """Tells content of the posterior from content of the prior, given the code; the posterior learns to fool it.

    Source:
        Makhzani et al., arXiv:1511.05644 (adversarial autoencoders), section 2.
    """

    def __init__(self, config, n_codes, device):
        super().__init__()
        self.codes = torch.nn.Embedding(n_codes + 2, 16)
        self.judge = torch.nn.Sequential(
            torch.nn.Linear(config.content_dims + 16, 128), torch.nn.LeakyReLU(0.2), torch.nn.Linear(128, 1)
        )
        self.to(device)
        self.optimizer = torch.optim.Adam(self.parameters(), lr=1e-3, betas=(0.5, 0.9))
        self._seen = None

    def fooled(self, posterior, prior, codes):
        """How well posterior content passes for prior content: a loss for the posterior; keeps both for `learn`."""
        self._seen = posterior.detach(), prior.detach(), codes
        return functional.softplus(-self._score(posterior, codes)).mean()

    def learn(self):
        """One step of telling them apart -> the loss, a float."""
        if self._seen is None:
            return 0.0
        posterior, prior, codes = self._seen
        loss = functional.softplus(self._score(posterior, codes)).mean() + functional.softplus(-self._score(prior, codes)).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._seen = None
        return float(loss.detach())

    def _score(self, content, codes):
        return self.judge(torch.cat([content.float(), self.codes(codes)], -1))


def _frozen(name, module, moment, optimizer):
    """Weights and the moments of their optimizer as a dict of arrays."""
    tensors = {f"{name}.{key}": p.detach().cpu().numpy() for key, p in module.state_dict().items()}
    for i, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            tensors[f"{moment}.{i}.{key}"] = value.detach().cpu().numpy().reshape(value.shape)
    return tensors


def _thaw(tensors, name, module, moment, optimizer):
    own = {key.removeprefix(f"{name}."): torch.from_numpy(t) for key, t in tensors.items() if key.startswith(f"{name}.")}
    module.load_state_dict(own)
    state = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith(f"{moment}."):
            _, i, what = key.split(".")
            state["state"].setdefault(int(i), {})[what] = torch.from_numpy(value)
    optimizer.load_state_dict(state)


def _clear(folder):
    """Remove a damaged checkpoint, which `artifacts.save` would not write over; nothing that could be someone's."""
    path = folder / artifacts.CONFIG
    with contextlib.suppress(ArtifactError):
        head = files.read_json(path)
        if not isinstance(head, dict) or head.get("kind") != _CHECKPOINT:
            return
    path.unlink(missing_ok=True)


def spelled_rows(rows):
    """The first pieces of fillers side by side, padded: int64 (s, 12)."""
    out = np.full((len(rows), SPELLED), PAD)
    for i, ids in enumerate(rows):
        out[i, : min(len(ids), SPELLED)] = ids[:SPELLED]
    return out


def pooled(network, spelled, features, owner, size):
    """One content for all slots of a prompt: the mean of what is read of each -> mean and scale of each slot, equal within."""
    mean, scale = network.posterior(spelled, features)
    counts = torch.zeros(size, device=mean.device).index_add(0, owner, torch.ones(len(owner), device=mean.device)).clamp(min=1)
    parts = [torch.zeros(size, x.shape[1], device=x.device).index_add(0, owner, x) / counts[:, None] for x in (mean, scale)]
    return parts[0][owner], parts[1][owner]


def info_nce(found, features, n):
    """How well each mapped content finds the features of its own filler among those of the batch: nats, a mean.

    Args:
        found: float (s, f), foretold from content.
        features: float (s, f).
        n: int, rows that count.
    """
    scores = functional.normalize(found.float(), dim=-1) @ functional.normalize(features.float(), dim=-1).T * 10
    same = (features[:, None] == features[None]).all(-1) if len(features) <= 64 else torch.cdist(features, features) < 1e-4
    own = torch.arange(len(features), device=features.device)
    same[own, own] = False  # the same filler in another prompt is no wrong answer
    same[:, n:] = True
    return functional.cross_entropy(scores.masked_fill(same, -1e4)[:n], own[:n])


def fast_halves(device):
    """Whether bfloat16 is worth it: on a GPU, and on a CPU that multiplies it natively."""
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported() and "AVX512" in torch.backends.cpu.get_cpu_capability()


def _schedule(step, steps):
    warm = min(_WARM, steps // 4 + 1)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _phrase(lexicon, rng):
    chosen = rng.integers(0, len(lexicon.ids), int(rng.choice(4, p=(0.35, 0.35, 0.2, 0.1))) + 1)
    ids = tuple(i for word in chosen for i in lexicon.ids[word])
    return ids[: 2 * SPELLED], lexicon.features[chosen].mean(0)
