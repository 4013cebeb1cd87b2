"""Prompts that make a causal language model classify texts: the second half of the PEZ paper."""

import time

import torch

from workbench.models import CLIP, LM, printable
from workbench.search.pez.checkpoints import Checkpoint, digest
from workbench.search.pez.config import PEZConfig
from workbench.search.pez.fluency import Fluency
from workbench.search.pez.loop import loop
from workbench.search.pez.nearest import Nearest
from workbench.search.pez.prompt import HardPrompt
from workbench.search.pez.run import Run
from workbench.search.pez.search import ranked
from workbench.search.pez.vocabulary import Vocabulary

_CHUNK = 64  # sequences in one forward


def search_text(lm, texts, labels, verbalizers, config=None, *, ending="", on_step=None, resume=None):
    """Find a prompt after which a language model answers with the right label.

    The model reads `prefix, tokens found, suffix, text, ending`, and the word it would go on with is compared among the
    verbalizers. What is made large is the mean log-probability of the right one among them, less `config.fluency` times the
    nats per token of the prompt; here the model is the same for both, so the gradient sees fluency as well. A step costs
    restarts x texts sequences, and for methods that swap, candidates times that: start with some 32 texts.

    Args:
        lm: `models.LM`.
        texts: list of n str.
        labels: list of n labels.
        verbalizers: dict of label to the word that stands for it; each must be one token.
        config: `PEZConfig`; with `targets_per_step`, gradients are taken at so many texts, and the best is kept by all.
        ending: str, fixed text behind each text, such as `" It was"`.
        on_step: function called with a `Step` after each step; when it returns True the search ends.
        resume: str, Path or None, a folder, as in `search`.

    Returns:
        `HardPrompt` with `accuracy`.

    Raises:
        TypeError: not an LM, or texts that are not str.
        ValueError: no texts, labels that do not fit, a verbalizer of several tokens, no token left to choose from, a text that
            does not fit into the window.

    Source:
        Wen et al., arXiv:2302.03668, section 5.
    """
    start, config = time.perf_counter(), config or PEZConfig()
    if not isinstance(lm, LM):
        other = " For pictures and a CLIP: pez.search." if isinstance(lm, CLIP) else ""
        raise TypeError(f"search_text takes what models.load_lm returns, got {type(lm).__name__}.{other}")
    table = lm.model.get_input_embeddings().weight.detach()
    vocabulary = Vocabulary(lm.tokenizer, len(table), config, ignore_space=False)
    objective = TextObjective(lm, texts, labels, verbalizers, config, vocabulary, ending)
    run = Run(objective, vocabulary, None, config, 1)
    what = {"texts": list(texts), "labels": [str(label) for label in labels], "verbalizers": list(map(str, verbalizers.items()))}
    about = {"model": lm.name, "weights": digest(table), "ending": ending, **what}
    history = loop(run, Checkpoint(resume, config, about), on_step)
    found, ids = ranked(run, 0)
    with torch.no_grad():
        by_text, right = objective.by_text(ids)
        # as a user would type it: the text of the prompt, split anew
        typed = list(vocabulary._ids(found[0].text))
        again, _ = objective.by_text(torch.tensor(typed, device=ids.device), whole=True)
    return HardPrompt(
        text=found[0].text,
        ids=found[0].ids,
        similarity=float(by_text.mean()),
        text_similarity=float(again.mean()),
        retokenises=found[0].retokenises,
        target_similarities=tuple(by_text.tolist()),
        history=tuple(history[0]),
        restarts=tuple(found),
        nats=float(Fluency(lm, config.length)([found[0].text])[0]),
        accuracy=float(right.double().mean()),
        steps=len(history[0]),
        seconds=time.perf_counter() - start,
        config=config,
    )


class TextObjective:
    """Mean log-probability of the right verbalizer, over all texts. The arguments are those of `search_text`."""

    def __init__(self, lm, texts, labels, verbalizers, config, vocabulary, ending):
        self.lm, self.config = lm, config
        self.table = lm.model.get_input_embeddings().weight.detach()
        _check_texts(texts, labels, verbalizers)
        names = list(verbalizers)
        self.words = torch.tensor([_one_token(lm, verbalizers[name]) for name in names], device=self.table.device)
        self.labels = torch.tensor([names.index(label) for label in labels], device=self.table.device)
        begin = lm.tokenizer("")["input_ids"]
        self.begin = begin if begin == [lm.tokenizer.bos_token_id] else []
        self.head = [*self.begin, *vocabulary.prefix]
        self.tail = list(vocabulary.suffix)
        self.texts = lm.tokenizer([printable(f" {text}{ending}") for text in texts], add_special_tokens=False)["input_ids"]
        fixed = len(self.head) + config.length + len(self.tail)
        window = getattr(lm.model.config, "max_position_embeddings", None) or 10**9
        longest = max(range(len(texts)), key=lambda i: len(self.texts[i]))
        if fixed + len(self.texts[longest]) > window:
            raise ValueError(
                f"The prompt is too long: {fixed} tokens of prompt and {len(self.texts[longest])} of text {longest}, more than "
                f"the {window} {lm.name} reads. Shorten the texts or the prompt."
            )
        self.nearest = Nearest(self.table) if config.fluency else None

    def gradient(self, vectors, rows, draws):
        """Scores (n,) at vectors (n, t, w) over all texts, and the gradient (n, t, w), maybe over a sample; as `Run` says."""
        some = range(len(self.texts))
        if self.config.targets_per_step is not None:
            some = torch.randperm(len(self.texts), generator=draws[0])[: self.config.targets_per_step].tolist()
        gradient, score = torch.zeros_like(vectors), torch.zeros(len(vectors), device=vectors.device)
        with torch.enable_grad():
            for part in self._parts(some, len(vectors)):
                point = vectors.detach().requires_grad_()
                value = self._right(point, part).sum(1) / len(some)
                gradient += torch.autograd.grad(value.sum(), point)[0]
                score += value.detach()
            if self.nearest:
                point = vectors.detach().requires_grad_()
                cost = self.config.fluency * self._nats(point)
                gradient -= torch.autograd.grad(cost.sum(), point)[0]
                score -= cost.detach()
        if self.config.strict:
            gradient /= self.config.restarts
        return (score if len(some) == len(self.texts) else self.score(vectors, rows)), gradient

    @torch.no_grad()
    def score(self, vectors, rows):
        """Scores (n,) at vectors (n, t, w) over all texts."""
        parts = self._parts(range(len(self.texts)), len(vectors))
        score = sum(self._right(vectors, part).sum(1) for part in parts) / len(self.texts)
        return score - self.config.fluency * self._nats(vectors) if self.nearest else score

    def by_text(self, ids, whole=False):
        """Log-probability (n,) of the right label of each text after ids (t,), and whether it is the likeliest."""
        out, right = [], []
        for part in self._parts(range(len(self.texts)), 1):
            logits = self._answers(self.table[ids][None], part, whole)[0]
            out.append(logits.log_softmax(-1).gather(1, self.labels[part][:, None])[:, 0])
            right.append(logits.argmax(1) == self.labels[part])
        return torch.cat(out), torch.cat(right)

    def _parts(self, some, n):
        some, size = list(some), max(1, _CHUNK // n)
        return [some[i : i + size] for i in range(0, len(some), size)]

    def _right(self, vectors, part):
        logits = self._answers(vectors, part)
        return logits.log_softmax(-1).gather(2, self.labels[part].expand(len(vectors), -1)[..., None])[..., 0]

    def _answers(self, vectors, part, whole=False):
        """Logits (n, b, k) of the verbalizers after prompts (n, t, w) and texts number `part`."""
        head, tail = (self.begin, []) if whole else (self.head, self.tail)
        texts = [self.texts[i] for i in part]
        longest = max(map(len, texts))
        padded = torch.tensor([text + [0] * (longest - len(text)) for text in texts], device=vectors.device)
        n, b = len(vectors), len(texts)
        rows = [self._embed(head, n), vectors, self._embed(tail, n)]
        rows = torch.cat(rows, 1)[:, None].expand(-1, b, -1, -1)
        rows = torch.cat([rows, self.table[padded].expand(n, -1, -1, -1)], 2)
        # padding is behind what is read, so a causal model does not see it
        last = torch.tensor([rows.shape[2] - longest + len(text) - 1 for text in texts], device=vectors.device).repeat(n)
        states = self.lm.model.base_model(inputs_embeds=rows.flatten(0, 1), use_cache=False).last_hidden_state
        ends = states[torch.arange(n * b, device=vectors.device), last]
        return self.lm.model.get_output_embeddings()(ends).float()[:, self.words].view(n, b, -1)

    def _nats(self, vectors):
        """Nats (n,) per token of the prompts themselves."""
        rows = torch.cat([self._embed(self.head, len(vectors)), vectors], 1)
        states = self.lm.model.base_model(inputs_embeds=rows, use_cache=False).last_hidden_state
        logits = self.lm.model.get_output_embeddings()(states[:, :-1]).float()[:, -vectors.shape[1] :]
        ids = self.nearest.find(vectors.detach().flatten(0, 1)).view(vectors.shape[:2])[:, -logits.shape[1] :]
        if not logits.shape[1]:
            return vectors.new_zeros(len(vectors))
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none").sum(1) / vectors.shape[1]

    def _embed(self, ids, n):
        return self.table[torch.tensor(ids, dtype=torch.long, device=self.table.device)].expand(n, -1, -1)


def _check_texts(texts, labels, verbalizers):
    if not texts:
        raise ValueError("There are no texts: an empty list was given.")
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise TypeError("search_text takes a list of str.")
    if len(texts) != len(labels):
        raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
    unknown = sorted({str(label) for label in labels if label not in verbalizers})
    if unknown or len(verbalizers) < 2:
        raise ValueError(f"Each of two or more labels needs a verbalizer; there are {list(verbalizers)}, without one: {unknown}.")


def _one_token(lm, word):
    for text in (f" {word.strip()}", word.strip()):
        ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] not in lm.tokenizer.all_special_ids:
            return ids[0]
    raise ValueError(f"The verbalizer {word!r} is not one token of {lm.name}. Take another word.")
