"""Prompts that make a causal language model classify texts: the second half of the PEZ paper."""

import time

import torch

from workbench import checks
from workbench.models import CLIP, LM
from workbench.models.lm import window
from workbench.models.loading import printable
from workbench.search.config import PEZConfig
from workbench.search.fluency import Fluency
from workbench.search.loop import loop
from workbench.search.movers import stages
from workbench.search.prompt import HardPrompt, best_of
from workbench.search.run import Run, nearest
from workbench.search.vocabulary import Vocabulary

__all__ = ["search_text"]

_CHUNK = 64  # sequences in one forward


def search_text(lm, texts, labels, verbalizers, config=None, *, ending="", on_step=None, resume=None):
    """Find a prompt after which a language model answers with the right label.

    The model reads `prefix, tokens found, suffix, text, ending`, and its next word is compared among the verbalizers. The
    objective is the mean log-probability of the correct verbalizer among them, minus `config.fluency` times the nats per token
    of the prompt; the model is the same for both, so the gradient includes fluency. A step costs restarts x texts sequences, and
    for methods that swap, candidates times that: start with some 32 texts.

    Args:
        lm: `models.LM`.
        texts: list of n str.
        labels: list of n labels.
        verbalizers: dict of label to the word that stands for it; each must be one token.
        config: `PEZConfig`; None takes the defaults.
        ending: str, fixed text after each text, such as `" It was"`.
        on_step: function called with a `pez.Step` after each step; when it returns True the search ends.
        resume: str, Path or None, a folder, as in `pez.search`.

    Returns:
        `pez.HardPrompt` with `accuracy`.

    Raises:
        TypeError: not an LM, or texts that are not str.
        ValueError: no texts, labels that do not fit, a verbalizer of several tokens, no token left to choose from, or a text that
            does not fit into the window.
        ArtifactError: `resume` holds another search.

    Source:
        Wen et al., arXiv:2302.03668, section 5.
    """
    start, config = time.perf_counter(), config or PEZConfig()
    if not isinstance(lm, LM):
        other = " For pictures and a CLIP: pez.search." if isinstance(lm, CLIP) else ""
        raise TypeError(f"search_text takes what models.load_lm returns, got {type(lm).__name__}.{other}")
    vocabulary = Vocabulary(lm.tokenizer, len(lm.model.get_input_embeddings().weight), config, ignore_space=False)
    objective = TextObjective(lm, texts, labels, verbalizers, config, vocabulary, ending)
    run = Run(objective, vocabulary, config, 1)
    history = loop(run, stages(config), resume, on_step)
    found, ids = best_of(run, 0)
    with torch.no_grad():
        by_text, right = objective.by_text(ids)
        # as a user would type it: the text of the prompt, split again
        again, _ = objective.by_text(torch.tensor(vocabulary.ids(found[0].text), device=ids.device), framed=False)
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
    """Mean log-probability of the correct verbalizer over all texts. The arguments are those of `search_text`."""

    def __init__(self, lm, texts, labels, verbalizers, config, vocabulary, ending):
        self.lm, self.config = lm, config
        self.table = lm.model.get_input_embeddings().weight.detach()
        texts, names = checks.texts(texts, "texts"), list(verbalizers)
        if len(texts) != len(labels):
            raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
        unknown = sorted({str(label) for label in labels if label not in verbalizers})
        if unknown or len(names) < 2:
            raise ValueError(f"Each of two or more labels needs a verbalizer; there are {names}, without one: {unknown}.")
        self.words = torch.tensor([_one_token(lm, verbalizers[name]) for name in names], device=self.table.device)
        self.labels = torch.tensor([names.index(label) for label in labels], device=self.table.device)
        begin = lm.tokenizer("")["input_ids"]
        self.begin = begin if begin == [lm.tokenizer.bos_token_id] else []
        self.head, self.tail = [*self.begin, *vocabulary.prefix], list(vocabulary.suffix)
        self.texts = lm.tokenizer([printable(f" {text}{ending}") for text in texts], add_special_tokens=False)["input_ids"]
        fixed = len(self.head) + config.length + len(self.tail)
        longest = max(range(len(texts)), key=lambda i: len(self.texts[i]))
        if fixed + len(self.texts[longest]) > window(lm):
            raise ValueError(
                f"The prompt is too long: {fixed} tokens of prompt and {len(self.texts[longest])} of text {longest}, more than "
                f"the {window(lm)} {lm.name} reads. Shorten the texts or the prompt."
            )
        self.unit = torch.nn.functional.normalize(self.table, dim=1) if config.fluency else None
        self.about = {"model": lm.name, "texts": texts, "labels": [str(label) for label in labels], "ending": ending}
        self.about["verbalizers"] = [str(item) for item in verbalizers.items()]

    @torch.no_grad()
    def score(self, ids, rows):
        """Scores (n,) of prompts ids (n, t)."""
        return self._scores(self.table[ids])

    def gradient(self, vectors, rows):
        """Scores (n,) at vectors (n, t, w), and the gradient (n, t, w) of their sum."""
        gradient = torch.zeros_like(vectors)
        return self._scores(vectors, gradient), gradient

    def by_text(self, ids, framed=True):
        """Log-probability (n,) of the correct label of each text after ids (t,), and whether it is the most likely one."""
        logits = torch.cat([self._answers(self.table[ids][None], part, framed)[0] for part in self._parts(1)])
        return logits.log_softmax(-1).gather(1, self.labels[:, None])[:, 0], logits.argmax(1) == self.labels

    def _scores(self, vectors, gradient=None):
        """Scores (n,) at vectors (n, t, w); their gradient is added to `gradient`, if given."""
        terms = [lambda point, part=part: self._right(point, part).sum(1) / len(self.texts) for part in self._parts(len(vectors))]
        if self.config.fluency:
            terms.append(lambda point: -self.config.fluency * self._nats(point))
        score = torch.zeros(len(vectors), device=vectors.device)
        for term in terms:
            with torch.set_grad_enabled(gradient is not None):
                point = vectors.detach().requires_grad_(gradient is not None)
                value = term(point)
                score += value.detach()
                if gradient is not None:
                    gradient += torch.autograd.grad(value.sum(), point)[0]
        return score

    def _parts(self, n):
        """Numbers of the texts in parts, so that n prompts before each part make one forward."""
        size = max(1, _CHUNK // n)
        return [list(range(i, min(i + size, len(self.texts)))) for i in range(0, len(self.texts), size)]

    def _right(self, vectors, part):
        logits = self._answers(vectors, part)
        return logits.log_softmax(-1).gather(2, self.labels[part].expand(len(vectors), -1)[..., None])[..., 0]

    def _answers(self, vectors, part, framed=True):
        """Logits (n, b, k) of the verbalizers after prompts (n, t, w), with prefix and suffix if `framed`, and texts `part`."""
        head, tail = (self.head, self.tail) if framed else (self.begin, [])
        texts = [self.texts[i] for i in part]
        longest = max(map(len, texts))
        padded = torch.tensor([text + [0] * (longest - len(text)) for text in texts], device=vectors.device)
        n, b = len(vectors), len(texts)
        rows = torch.cat([self._embed(head, n), vectors, self._embed(tail, n)], 1)[:, None].expand(-1, b, -1, -1)
        rows = torch.cat([rows, self.table[padded].expand(n, -1, -1, -1)], 2)
        # padding comes after what is read, so a causal model does not see it
        last = torch.tensor([rows.shape[2] - longest + len(text) - 1 for text in texts], device=vectors.device).repeat(n)
        states = self.lm.model.base_model(inputs_embeds=rows.flatten(0, 1), use_cache=False).last_hidden_state
        ends = states[torch.arange(n * b, device=vectors.device), last]
        return self.lm.model.get_output_embeddings()(ends).float()[:, self.words].view(n, b, -1)

    def _nats(self, vectors):
        """Nats (n,) per token of the prompts themselves."""
        rows = torch.cat([self._embed(self.head, len(vectors)), vectors], 1)
        states = self.lm.model.base_model(inputs_embeds=rows, use_cache=False).last_hidden_state
        logits = self.lm.model.get_output_embeddings()(states[:, :-1]).float()[:, -vectors.shape[1] :]
        ids = nearest(vectors.detach(), self.unit)[:, vectors.shape[1] - logits.shape[1] :]
        return torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids, reduction="none").sum(1) / vectors.shape[1]

    def _embed(self, ids, n):
        return self.table[torch.tensor(ids, dtype=torch.long, device=self.table.device)].expand(n, -1, -1)


def _one_token(lm, word):
    for text in (f" {word.strip()}", word.strip()):
        ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] not in lm.tokenizer.all_special_ids:
            return ids[0]
    raise ValueError(f"The verbalizer {word!r} is not one token of {lm.name}. Take another word.")
