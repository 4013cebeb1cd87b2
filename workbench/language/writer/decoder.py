"""Decoder: whole prompts from nothing, by a pretrained language model that has read a corpus, mixed with its n-grams."""

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Checkpoint, Saved
from workbench.language.ngram import KneserNey, NgramConfig
from workbench.language.writer.config import Decoding
from workbench.language.writer.mixing import LONGEST, Law, Walk
from workbench.language.writer.pieces import END, SEPARATOR, WORD, Pieces, kind_of, tokens
from workbench.language.writer.trie import SPACE
from workbench.training import adamw, cosine, train
from workbench.values import ArtifactError, NotFittedError, Sample

DECODING = Decoding(temperature=1.0, top_p=0.97)  # colder or cut more, it writes what everybody writes
_BATCH = 512  # positions of a step, padding counted
_PASSES, _LEAST, MOST = 3, 60, 2100  # times each prompt is read at most; steps of training: 2,100 are a million positions
_RATE, _FLOOR = 1.2e-3, 0.05
_SAVE_EVERY = 10  # steps between checkpoints
_HELD, _HELD_SHARE = 200, 20  # prompts that are not learned, at most, and one in how many: they say how much the model counts
_SHARES = np.linspace(0.3, 0.7, 5)  # less of the model would be a little likelier after a short training, and has less sense
_ROWS = 64  # prompts scored at once
_TOGETHER = 192  # prompts written at once, at most: a step for a few costs nearly as much as one for many
_NEW = -12.0  # nats of a word that the corpus lacks


@dataclass(frozen=True)
class DecoderConfig:
    """Options of `Decoder`: the pretrained model it begins as (`models.load_lm`), and steps of training, whatever the pile."""

    base: str = "smollm2"
    steps: int | None = None

    def __post_init__(self):
        if not isinstance(self.base, str) or not self.base:
            raise TypeError(f"The base of a decoder is the name of a language model, such as 'smollm2', got {self.base!r}.")
        if self.steps is not None:
            checks.whole("steps", self.steps)


class Decoder(Saved):
    """Writes whole prompts: a pretrained model with an adapter (LoRA) and n-grams, mixed word by word.

    It reads and writes lower case, without brackets, weights and syntax of other programs. The base is never saved: the
    adapter, the n-grams, and the base's name and sha256 are.

    After `fit`: `share_` (float, how much the model counts), `nats_` (dict: nats a word on prompts held out, of the model
    alone, of the n-grams, and mixed), `history_`, `report_` (dict of counts), `seconds_` (float, of training).

    Source:
        LoRA: Hu et al., arXiv:2106.09685; modified Kneser-Ney: `KneserNey`.
    """

    kind = "decoder"

    def __init__(self, config=DecoderConfig()):  # noqa: B008 - frozen
        self.config = config

    def check(self):
        """Raise what `fit` raises, before anything is learned: no peft, no base, or too little memory."""
        from workbench.language.writer import adapter

        adapter.import_peft()
        lm = adapter.load_base(self.config.base)
        adapter.check_memory(lm, _BATCH)
        return lm

    # ---- learning -------------------------------------------------------------------------------------------------------

    def fit(self, texts, known=None, folder=None, progress=True, seed=0):
        """Learn to write prompts.

        Args:
            texts: list of str.
            known: iterable of str, words that may be written, as in `Tokens.known`; None: all of the texts.
            folder: Path for checkpoints; the same call then goes on from the latest one. None keeps none.
            progress: bool, show a progress bar.
            seed: int.

        Returns:
            self.

        Raises:
            ModelError: the base cannot be found or read, or there is too little memory.
            ImportError: peft is not installed.
            ValueError: fewer than two texts that hold a word.
            ArtifactError: the folder holds the checkpoint of another run.
            Interrupted: Ctrl-C; the same call with the same folder goes on.
        """
        from workbench.language.writer import adapter
        from workbench.models.lm import fingerprint

        seed, texts = checks.seed(seed), list(texts)
        some = [found for found in map(tokens, texts) if found]
        if len(some) < 2:
            raise ValueError(f"A decoder learns from prompts that hold words, 2 or more; {len(some)} of {len(texts)} do.")
        lm = self.check()
        order = np.random.default_rng(seed).permutation(len(some))
        held = min(_HELD, len(some) // _HELD_SHARE)
        learned = [some[i] for i in sorted(order[held:])]
        self._ngram = KneserNey(NgramConfig(order=5)).fit(learned)
        self._pieces = Pieces(lm.tokenizer, list(self._ngram.vocabulary_))
        self._sha256 = fingerprint(lm)
        known = None if known is None else {f" {word.removeprefix(SPACE)}" for word in known}
        kinds = self._pieces.kinds == SEPARATOR
        self._known = np.array([known is None or token in known or not token for token in self._pieces.tokens]) | kinds
        rows = [self._pieces.spell(one) for one in learned]
        self.report_ = {
            "given": len(texts),
            "read": len(rows),
            "empty": len(texts) - len(some),
            "held_out": held,
            "cut": sum(len(row) > LONGEST for row in rows),
        }
        model = adapter.Adapter(lm, self._pieces.base, seed)
        self._train(model, [[*row, END][:LONGEST] for row in rows], folder, progress, seed)
        self._adapter, self._weights = model, model.state()
        model.load(self._weights)
        model.merge()
        self._weigh(["".join(some[i]).strip() for i in order[:held]])
        return self

    def _train(self, model, rows, folder, progress, seed):
        batches = _batches(rows)
        size = sum(len(batch) * max(len(rows[i]) for i in batch) for batch in batches) / len(batches)
        steps = self.config.steps or min(MOST, max(_LEAST, _PASSES * len(batches)))
        data = hashlib.sha256(repr(rows).encode()).hexdigest()
        run = {"options": asdict(self.config), "seed": seed, "data": data, "base": self._sha256}

        def loss(step):
            turn, at = divmod(step, len(batches))
            batch = batches[np.random.default_rng([seed, turn]).permutation(len(batches))[at]]
            targets = torch.nn.utils.rnn.pad_sequence([torch.tensor(rows[i]) for i in batch], True, -1)
            said = torch.cat([torch.zeros(len(batch), 1, dtype=torch.int64), targets[:, :-1].clamp(min=0)], 1)
            there = targets >= 0
            found = torch.nn.functional.cross_entropy(model.logits(model.hidden(said)[there]), targets[there])
            return found, {"nats": float(found.detach())}

        done = train(
            loss,
            {"adapter": model.weights},
            adamw(model.weights, weight_decay=0.0, betas=(0.9, 0.98)),
            steps,
            cosine(_RATE, steps, min(30, steps // 10 + 1), _FLOOR),
            name="training the decoder",
            every=10,
            checkpoint=None if folder is None else Checkpoint(folder, "decoder training", run),
            save_every=_SAVE_EVERY,
            seed=seed,
            progress=progress,
        )
        self.history_ = [{name: round(value, 4) for name, value in row.items()} for row in done.history]
        self.seconds_, self.report_["positions"] = done.seconds, round(size * done.step)

    def _weigh(self, held):
        """How much the language model counts: the share under which the prompts held out are most likely."""
        self.share_, self.nats_ = 0.5, {}
        parts = self.parts(held)
        if len(parts):
            nats = [-np.logaddexp(np.log(s) + parts[:, 0], np.log1p(-s) + parts[:, 1]).mean() for s in _SHARES]
            self.share_ = round(float(_SHARES[int(np.argmin(nats))]), 2)
            alone = dict(zip(("model", "ngrams"), (-parts.mean(0)).tolist(), strict=True))
            self.nats_ = {name: round(value, 4) for name, value in {**alone, "mixed": float(min(nats))}.items()}

    def parts(self, texts):
        """Log-probability of each word of texts, ends counted, by the model alone and by the n-grams alone: float64 (w, 2).

        Nothing is cut, and all words of the corpus may be written; words that it does not have are passed over.

        Args:
            texts: list of str.
        """
        return np.concatenate([*self._by_text(texts), np.zeros((0, 2))])

    def log_prob(self, texts):
        """Log-probabilities of texts by the language model alone, to compare texts that differ in a few words.

        Args:
            texts: list of n str. A word that the corpus lacks counts as one of its rarest.

        Returns:
            float64 (n,), nats.
        """
        self._model()
        new = [sum(token not in self._pieces for token in self._read(text.lower())) for text in texts]
        return np.array([found[:, 0].sum() for found in self._by_text([text.lower() for text in texts])]) + _NEW * np.array(new)

    def _by_text(self, texts):
        """For each text what `parts` gives for all: list of float64 (w, 2)."""
        self._model()
        law, out = (
            Law(self._pieces, self._ngram, np.ones(len(self._known), bool), 0.5, loops=True),
            [np.zeros((0, 2))] * len(texts),
        )
        some = [self._known_tokens(one) for one in texts]
        where = [i for i, one in enumerate(some) if one]
        rows = [[*self._pieces.spell(some[i]), END] for i in where]
        for at, logits in self._logits(rows):
            walk = Walk(law)
            for piece, row in zip(rows[at], logits, strict=True):
                walk.prob(row)
                if not walk.push(piece):
                    break
            out[where[at]] = np.array(walk.words).reshape(-1, 2)
        return out

    # ---- writing --------------------------------------------------------------------------------------------------------

    def sample(self, n, decoding=DECODING, seed=0):
        """Write n prompts: list of `Sample` with `ids`, `kept` and `log_prob`, all in lower case.

        Args:
            n: int.
            decoding: `Decoding`. `known=False` allows all words of the corpus.
            seed: int.

        Raises:
            NotFittedError: before `fit`.
            ModelError: the base is not on this machine.
            ArtifactError: the base is another than the one that was learned with.
        """
        law, random = self._law(decoding), torch.Generator().manual_seed(checks.seed(seed))
        turns = -(-checks.whole("n", n) // _TOGETHER)
        return [one for i in range(turns) for one in self._write((n + i) // turns, law, decoding.cut, random)]

    @torch.inference_mode()
    def _write(self, n, law, cut, random):
        from transformers import DynamicCache

        model, past = self._model(), DynamicCache()
        walks, alive, kept, log_p = [Walk(law) for _ in range(n)], list(range(n)), [[] for _ in range(n)], np.zeros(n)
        said = torch.zeros(n, 1, dtype=torch.int64)
        while alive:
            logits = model.logits(model.hidden(said, past)[:, -1]).numpy()
            p = np.stack([walks[i].prob(row) for i, row in zip(alive, logits, strict=True)])
            with np.errstate(divide="ignore"):
                logs, size = cut.log_law(torch.from_numpy(np.log(p)))
            # exponential races instead of multinomial: the same draws on every backend
            chosen = (logs - torch.empty(logs.shape, dtype=logs.dtype).exponential_(generator=random).log()).argmax(1)
            log_p[alive] += logs.gather(1, chosen[:, None])[:, 0].numpy()
            for i, piece, count in zip(alive, chosen.tolist(), size.tolist(), strict=True):
                walks[i].push(piece)
                kept[i].append(count)
            on = [at for at, piece in enumerate(chosen.tolist()) if piece != END]
            if len(on) < len(alive):
                past.batch_select_indices(torch.tensor(on, dtype=torch.int64))
            alive, said = [alive[at] for at in on], chosen[on][:, None]
        return [
            Sample(self._pieces.text(walk.ids), ids=tuple(walk.ids), kept=tuple(sizes), log_prob=score)
            for walk, sizes, score in zip(walks, kept, log_p.tolist(), strict=True)
        ]

    def log_score(self, samples, decoding=DECODING):
        """Log-probabilities of prompts, exactly as `sample` draws them: float64 (n,), nats; -inf for what it cannot write."""
        law, rows, kept, where = self._law(decoding), [], [], []
        for i, one in enumerate(samples):
            ids, sizes = getattr(one, "ids", None), getattr(one, "kept", None)
            if ids is None or self._pieces.text(ids) != str(one).lower():
                some, sizes = self._read(str(one)), None
                if not some or not all(token in self._pieces for token in some):
                    continue
                ids = (*self._pieces.spell(some), END)
                if self._pieces.text(ids) != str(one).lower():
                    continue
            rows.append(list(ids))
            kept.append(sizes or (0,) * len(ids))
            where.append(i)
        out = np.full(len(samples), -np.inf)
        for at, logits in self._logits(rows):
            walk, p = Walk(law), []
            for piece, row in zip(rows[at], logits, strict=True):
                p.append(walk.prob(row))
                if not walk.push(piece):
                    break
            else:
                with np.errstate(divide="ignore"):
                    logs, _ = decoding.cut.log_law(torch.from_numpy(np.log(np.stack(p))), kept=torch.tensor(kept[at]))
                out[where[at]] = float(logs.gather(1, torch.tensor(rows[at])[:, None]).sum())
        return out

    def _known_tokens(self, text):
        """The tokens of a text that the corpus has; a separator goes with the word that it parted."""
        out = []
        for token in self._read(text):
            if token in self._pieces and (kind_of(token) != SEPARATOR or (out and kind_of(out[-1]) == WORD)):
                out.append(token)
        while out and kind_of(out[-1]) != WORD:
            out.pop()
        return out

    def _read(self, text):
        """The tokens of a text; "a." is a word and a full stop where no such initials are known."""
        known = self._pieces
        return [
            part
            for token in tokens(text)
            for part in ([token] if token in known or token[-1] != "." or len(token) < 3 else [token[:-1], "."])
        ]

    @torch.inference_mode()
    def _logits(self, rows):
        """Scores of what may follow, by the language model: pairs (row, float32 (t, v)), of lists of pieces with their ends."""
        model, order = self._model(), sorted(range(len(rows)), key=lambda i: len(rows[i]))
        for at in range(0, len(order), _ROWS):
            some = order[at : at + _ROWS]
            said = [torch.tensor([0, *rows[i][:-1]]) for i in some]
            hidden = model.hidden(torch.nn.utils.rnn.pad_sequence(said, True))
            for i, states in zip(some, hidden, strict=True):
                yield i, model.logits(states[: len(rows[i])]).numpy()

    def _law(self, decoding):
        self._model()
        allowed = self._known if decoding.known else np.ones(len(self._known), bool)
        return Law(self._pieces, self._ngram, allowed, self.share_)

    def _check_fitted(self):
        if not hasattr(self, "_sha256"):
            raise NotFittedError("This decoder has learned nothing yet: call fit first.")

    def _model(self):
        """The base with its adapter, merged; read at the first use."""
        self._check_fitted()
        if not hasattr(self, "_adapter"):
            from workbench.language.writer import adapter
            from workbench.models.lm import fingerprint

            lm = adapter.load_base(adapter.local(self.config.base))
            found = fingerprint(lm)
            if found != self._sha256:
                raise ArtifactError(
                    f"{self.config.base} is another model than the one that was learned with: the sha256 of its weights is "
                    f"{found[:12]}..., expected {self._sha256[:12]}.... Get the old one back, or fit the language again."
                )
            self._pieces = Pieces(lm.tokenizer, list(self._ngram.vocabulary_))
            model = adapter.Adapter(lm, self._pieces.base)
            try:
                model.load(self._weights)
            except ValueError as err:
                raise ArtifactError(f"The saved decoder is damaged: {err}.") from err
            model.merge()
            self._adapter = model
        return self._adapter

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def to_state(self):
        """Config (JSON values) and tensors (dict of arrays, weights as float16) that `from_state` reads."""
        self._check_fitted()
        ngram, tensors = self._ngram.to_state()
        config = {
            "options": asdict(self.config),
            "sha256": self._sha256,
            "share": self.share_,
            "nats": self.nats_,
            "ngram": ngram,
            "history": self.history_,
            "report": self.report_,
            "seconds": round(self.seconds_, 1),
        }
        named = {f"ngram.{name}": array for name, array in tensors.items()}
        named |= {f"adapter.{name}": array for name, array in self._weights.items()}
        return config, {"known": self._known, **named}

    @classmethod
    def from_state(cls, config, tensors):
        """The `Decoder` that `to_state` described; KeyError, TypeError or ValueError for what is none. The base is not read."""
        found = cls(DecoderConfig(**config["options"]))
        parts = {
            part: {name.removeprefix(part): t for name, t in tensors.items() if name.startswith(part)}
            for part in ("ngram.", "adapter.")
        }
        found._ngram, found._weights = KneserNey.from_state(config["ngram"], parts["ngram."]), parts["adapter."]
        found._known, found._sha256 = tensors["known"], config["sha256"]
        if found._known.dtype != bool or found._known.shape != (len(found._ngram.vocabulary_) + 1,):
            raise ValueError(f"known is {found._known.dtype} {found._known.shape}, the n-grams have other words")
        if not isinstance(found._sha256, str) or any(array.dtype != np.float16 for array in found._weights.values()):
            raise ValueError("the adapter is not one of float16, or does not name its base")
        checks.share("share", config["share"])
        found.share_, found.nats_, found.history_ = config["share"], config["nats"], config["history"]
        found.report_, found.seconds_ = config["report"], config["seconds"]
        return found


def _batches(rows):
    """Rows of equal or near length, together `_BATCH` positions at most: list of lists of int."""
    out, width = [], 0
    for i in sorted(range(len(rows)), key=lambda i: (len(rows[i]), i)):
        width = len(rows[i])
        if not out or (len(out[-1]) + 1) * width > _BATCH:
            out.append([])
        out[-1].append(i)
    return out
