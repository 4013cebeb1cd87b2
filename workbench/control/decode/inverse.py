"""Inverse prompting: of many texts, those from which the prompt could be guessed back. And a plain reranking beside it."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import LogitsProcessor

from workbench import checks
from workbench.control import proposals
from workbench.control.decode.plain import causal
from workbench.control.guide.scoring import draw, name_of, scores
from workbench.control.proposals.causal import at_once, sums
from workbench.models.lm import begin_of, window
from workbench.values import GuideError, Sample

_CHILDREN = 2  # texts of a beam that may come of one
_WORST = 6.0  # nats a token beyond which a text is not fluent
_FLUENCY = 1.5  # what each nat beyond counts
_FLOOR = -35.0  # nats of a token of the prompt at least: one odd token must not decide
_ROOM = 2**31  # numbers of logits at once, at most


@dataclass(frozen=True)
class InverseConfig(checks.Options):
    """Options of `inverse`."""

    ask: str = '"{text}" is a text about: {prompt}'  # how the prompt is asked for, given a text
    begin: str = ""  # prefix of the text, such as an instruction; {prompt} in it is the prompt
    beam: int = 5  # texts kept after each sentence
    tries: int = 5  # sentences tried behind each
    sentences: int = 1  # sentences of a text, at most
    stops: str = ".!?\n"  # what ends a sentence: a token that holds one of these
    max_tokens: int = 40  # tokens of a sentence, at most
    weight: float = 1.0  # of the inverse score; 0 is beam search by likelihood
    top_p: float = 0.95  # of the sentences tried
    seed: int = 0

    def __post_init__(self):
        self.check(
            wholes={"beam": 1, "tries": 1, "sentences": 1, "max_tokens": 1},
            numbers={"weight": (0,), "top_p": (0, 1, True)},
            places={"ask": ("{text}", "{prompt}")},
        )
        if not self.ask.endswith("{prompt}"):
            raise ValueError(f"InverseConfig: ask must end with {{prompt}}, so that all of it is read before; got {self.ask!r}.")


@dataclass(frozen=True, eq=False)
class Ranked:
    """Texts with scores, best first; a `Proposal` that draws each in proportion to exp(score).

    Attributes:
        texts: tuple of n different `Sample` or str.
        scores: float64 (n,), falling.
        read: int, tokens that the language model read to write and to judge them.
    """

    texts: tuple
    scores: np.ndarray
    read: int = 0

    @property
    def best(self):
        """The text with the highest score."""
        return self.texts[0]

    def sample(self, n, seed=0):
        """Draw n of the texts: list."""
        rng = np.random.default_rng(checks.seed(seed))
        return [self.texts[i] for i in rng.choice(len(self.texts), checks.whole("n", n), p=np.exp(self._logs()))]

    def log_score(self, samples):
        """Log-probabilities: float64 (n,), nats; -inf for texts that are none of these."""
        known = {str(text): score for text, score in zip(self.texts, self._logs().tolist(), strict=True)}
        return np.array([known.get(str(text), -np.inf) for text in samples])

    def _logs(self):
        return self.scores - np.logaddexp.reduce(self.scores)


def inverse(lm, prompt, config=InverseConfig(), law=None):  # noqa: B008 - frozen
    """Write texts from which a prompt can be guessed back: a beam over sentences.

    After each sentence a text scores `weight` times the nats that it adds to the prompt, log p(prompt | text) - log p(prompt),
    less a penalty where it is hardly fluent. With `weight` 0 the score is its log-likelihood for each token.

    Args:
        lm: `models.LM`.
        prompt: str, what the text should be about.
        config: `InverseConfig`.
        law: `LMProposal` that writes, such as one steered by a critic; its prefix and length are set here. None: the model.

    Returns:
        `Ranked`, at most `beam` texts, without `begin`.

    Raises:
        ValueError: an empty prompt, or a beam wider than memory.
        GuideError: prefix and text do not fit into the model, or it has no token for the end of a text.

    Source:
        Zou et al., arXiv:2103.10685, section 3.
    """
    judge, read = Judge(lm, prompt, config.ask), 0
    width = config.beam * config.tries
    vocabulary = lm.model.config.vocab_size
    if width * config.max_tokens * vocabulary > _ROOM:
        raise ValueError(
            f"A beam of {config.beam} texts with {config.tries} tries of {config.max_tokens} tokens needs "
            f"{width * config.max_tokens * vocabulary / 2**30:.1f} billion numbers at once, the bound is {_ROOM / 2**30:g}. Take "
            f"a beam of {max(1, _ROOM // (config.tries * config.max_tokens * vocabulary))} or fewer tries."
        )
    begin = config.begin.replace("{prompt}", prompt)
    law = replace(causal(lm if law is None else law), top_p=config.top_p, max_tokens=config.max_tokens)
    stops, end = _stops(law, config.stops)
    beam = [("", 0.0, 0, False)]  # text, log-likelihood, tokens, is it over
    for turn in range(config.sentences):
        grown, open_ = (
            [(one, at) for at, one in enumerate(beam) if one[3]],
            [(at, one) for at, one in enumerate(beam) if not one[3]],
        )
        for at, (text, nats, size, _) in open_:
            tries = width if turn == 0 else config.tries
            seed = int(np.random.SeedSequence([config.seed, turn, at]).generate_state(1)[0])
            here = law.given(begin + text)
            here = here.processed(_Sentence(stops, end, len(here._begin())))
            for one in here.sample(tries, seed=seed):
                body = [token for token in one.ids if token != end]
                new, over = str(one)[len(begin) :], not body or not bool(stops[body[-1]])
                grown.append(((new, nats + one.log_prob, size + len(one.ids), over), at))
                read += len(one.ids)
        kept, parents = {}, {}
        marks = _marks([one for one, _ in grown], judge, config.weight)
        for i in np.argsort(-marks, kind="stable"):
            (text, *_), at = grown[i]
            if not text.strip() or text in kept or (turn and parents.get(at, 0) >= _CHILDREN):
                continue
            kept[text] = (grown[i][0], float(marks[i]))
            parents[at] = parents.get(at, 0) + 1
            if len(kept) == config.beam:
                break
        if not kept:
            raise GuideError("The model ended every text before its first word. Give another begin, or more tries.")
        beam = [one for one, _ in kept.values()]
        if all(one[3] for one in beam):
            break
    marks = np.array([mark for _, mark in kept.values()])
    texts = tuple(Sample(text, log_prob=nats) for text, nats, *_ in beam)
    return Ranked(texts, marks, read + judge.read)


def _marks(rows, judge, weight):
    """Scores of texts in a beam: float64 (n,)."""
    likely = np.array([nats / max(1, size) for _, nats, size, _ in rows])
    if weight == 0:
        return likely
    return weight * judge([text for text, *_ in rows]) - _FLUENCY * np.maximum(0, -likely - _WORST)


class Judge:
    """A scorer: the nats that a text adds to a prompt, log p(prompt | text) - log p(prompt), by one language model.

    Args:
        lm: `models.LM`.
        prompt: str.
        ask: str with {text} and, at its end, {prompt}.

    Raises:
        ValueError: an empty prompt, or another `ask`.
        GuideError: on a call, a text that does not fit into the model.

    Attributes:
        read: int, tokens read so far.
    """

    def __init__(self, lm, prompt, ask=InverseConfig.ask):
        if not isinstance(prompt, str) or not prompt.strip():
            raise ValueError(f"The prompt must be a str that is not empty, got {prompt!r}.")
        self.lm, self.prompt, self.ask, self.read = lm, prompt, InverseConfig(ask=ask).ask, 0
        self.__name__ = f"inverse({prompt!r})"
        self._prior = float(self._log_prob([""])[0])

    def __call__(self, texts):
        """Scores of n texts: float64 (n,), nats."""
        return self._log_prob([str(text) for text in texts]) - self._prior

    def _log_prob(self, texts):
        head = self.ask.removesuffix("{prompt}")
        blank = " " * head.endswith(" ")  # belongs to the prompt, as tokenizers see it
        wanted, *rows = _tokens(
            self.lm, [blank + self.prompt, *(head.removesuffix(" ").replace("{text}", text) for text in texts)]
        )
        self.read += sum(1 + len(row) + len(wanted) for row in rows)

        def law(logits, there):
            asked = torch.arange(there.shape[1], device=there.device) >= there.sum(1, keepdim=True) - len(wanted)
            return logits.log_softmax(-1).clamp(min=_FLOOR) * asked[there][:, None]

        return _sums(self.lm, [begin_of(self.lm)], [row + wanted for row in rows], law)


def rerank(source, scorer, n=64, seed=0):
    """Draw texts of any proposal and put those first that a scorer likes: best of n.

    Args:
        source: anything `proposals.of` takes.
        scorer: function, list of n samples -> n finite numbers, such as `pmi(...)` or a `Judge`.
        n: int, texts drawn.
        seed: int.

    Returns:
        `Ranked`; equal texts come once.

    Raises:
        GuideError: the scorer fails.
    """
    before = getattr(scorer, "read", 0)
    samples = list({str(one): one for one in draw(proposals.of(source), checks.whole("n", n), checks.seed(seed))}.values())
    found = scores(scorer, samples, name_of(scorer))
    order = np.argsort(-found, kind="stable")
    read = sum(len(getattr(one, "ids", None) or ()) for one in samples)
    return Ranked(tuple(samples[i] for i in order), found[order], read + getattr(scorer, "read", 0) - before)


def pmi(lm, begin):
    """A scorer: pointwise mutual information of a beginning and the text behind it, log p(text | begin) - log p(text), in nats.

    Args:
        lm: `models.LM`.
        begin: str, such as an instruction; the texts scored do not repeat it.

    Returns:
        function, list of n str -> float64 (n,).

    Source:
        Li et al., arXiv:1510.03055, section 4.
    """

    def score(texts):
        start = [begin_of(lm)]
        asked, *ids = _tokens(lm, [begin, *map(str, texts)])
        ids = [one or start for one in ids]
        score.read += sum(2 * len(one) + len(asked) + 1 for one in ids)
        given, alone = (_sums(lm, head, ids, lambda logits, _: logits.log_softmax(-1)) for head in (start + asked, start))
        return given - alone

    score.__name__, score.read = f"pmi({begin!r})", 0
    return score


def _tokens(lm, texts):
    """Tokens of texts: list of lists of int."""
    return lm.tokenizer(texts, add_special_tokens=False).input_ids


@torch.inference_mode()
def _sums(lm, begin, ids, law):
    """`sums` of many texts, some at a time, those of near length together: float64 (n,)."""
    out, order = np.zeros(len(ids)), sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    longest, room = len(begin) + max(map(len, ids), default=0), window(lm)
    if longest - 1 > room:
        raise GuideError(f"A text to be judged takes {longest} tokens, and the model has {room} positions. Shorten it.")
    while order:
        size = at_once(lm.model, len(begin) + len(ids[order[0]]))
        some, order = order[:size], order[size:]
        out[some] = sums(lm.model, begin, [ids[i] for i in some], law).cpu().numpy()
    return out


def _stops(law, marks):
    """Which tokens end a sentence, bool (v,), and the token that ends a text."""
    if not law._ends():
        raise GuideError("This model has no token for the end of a text, so that its sentences never end.")
    tokens, end = law.lm.tokenizer.batch_decode([[i] for i in range(law.lm.model.config.vocab_size)]), law._ends()[0]
    stops = torch.tensor([any(mark in token for mark in marks) for token in tokens])
    stops[end] = False
    return stops, end


class _Sentence(LogitsProcessor):
    """Ends a text after a token, behind the first `start`, that ends a sentence."""

    def __init__(self, stops, end, start):
        self.stops, self.end, self.start = stops, end, start

    def __call__(self, input_ids, scores_):
        if input_ids.shape[1] == self.start:
            return scores_
        over = self.stops.to(input_ids.device)[input_ids[:, -1]]
        only = torch.full_like(scores_, -torch.inf)
        only[:, self.end] = 0
        return torch.where(over[:, None], only, scores_)
