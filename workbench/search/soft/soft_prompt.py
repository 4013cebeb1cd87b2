"""A soft prompt: a few vectors that stand for a task, tied to the model they were learned with."""

import weakref
from dataclasses import asdict, dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Saved, check_layout
from workbench.models.cut import Cut
from workbench.models.lm import fingerprint, window
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.frozen import Frozen, by_prompt, frozen
from workbench.search.soft.rows import check_lm, only_texts, read_rows, tokens_of
from workbench.values import ModelError, Sample

STOPPED = ("steps", "patience", "interrupted")
_CUT = Cut(top_p=0.95)  # of the texts that are written
_known = weakref.WeakKeyDictionary()  # model -> (state of its weights, sha256)


def sha256(lm):
    """The `fingerprint` of an `LM`, computed again only where torch has noted a change of a weight."""
    return known_sha256(lm, lm.model, lambda: fingerprint(lm))


def known_sha256(owner, module, compute):
    """What `compute()` gives for the weights of a torch module, kept for its owner until torch notes a change of a weight."""
    state = tuple((weight.data_ptr(), weight._version) for weight in module.parameters())
    if _known.get(owner, (None,))[0] != state:
        _known[owner] = (state, compute())
    return _known[owner][1]


@dataclass(frozen=True, eq=False)
class SoftPrompt(Saved):
    """Vectors that make a frozen language model do a task. They are no words; `nearest_words` shows the words beside them.

    Attributes:
        vectors: float32 array (k, w), in the space of the embeddings of the model.
        labels: tuple of c str, sorted; () for a prompt of texts without labels.
        config: `SoftConfig` it was learned with.
        model: str, name of the model, as it was asked for.
        sha256: str, `models.lm.fingerprint` of the model; another model is refused.
        history: tuple of dicts, one for each 10 steps: `step`, `loss` (mean over these steps, nats), `accuracy` (share, on the
            rows of these steps; labels only) and `held_out` (loss, where rows were held out; of prompts that were learned
            together, their mean).
        stopped: str, why learning ended: "steps", "patience" or "interrupted".

    Raises:
        ValueError: vectors that are not a finite float32 array of two axes.

    Source:
        Lester et al., "The Power of Scale for Parameter-Efficient Prompt Tuning", arXiv:2104.08691.
    """

    kind = "soft prompt"
    vectors: np.ndarray
    labels: tuple
    config: SoftConfig
    model: str
    sha256: str
    history: tuple = ()
    stopped: str = "steps"

    def __post_init__(self):
        check_vectors(self.vectors)

    def probabilities(self, lm, texts):
        """How likely each label is.

        Args:
            lm: the `models.LM` it was learned with.
            texts: list of n str.

        Returns:
            float64 (n, c), 0..1, in the order of `labels`; rows sum to 1.

        Raises:
            ModelError: another model.
            TypeError: not an LM, or not str.
            ValueError: an empty text or one beyond the window, or a prompt without labels.
        """
        return np.exp(self._log_probabilities(lm, texts))

    def classify(self, lm, texts):
        """The likeliest label of each text: list of n str. Arguments and errors as in `probabilities`."""
        return _named(self.labels, self._log_probabilities(lm, texts))

    def features(self, lm, texts):
        """Texts as the model sees them under the prompt: the state after its last layer in which it begins the answer.

        Args:
            lm: the `models.LM` it was learned with.
            texts: list of n str.

        Returns:
            float32 (n, w), each row of L2 norm 1.

        Raises:
            ModelError, TypeError, ValueError: as in `probabilities`.
        """
        reader, items, vectors = _reader(lm, [self], texts)
        out = np.zeros((len(items), self.vectors.shape[1]), np.float32)
        with frozen(lm), torch.inference_mode():
            for part in reader.parts(items):
                out[by_prompt(part)[0]] = reader.ends(vectors, part)[0].float().cpu().numpy()
        return checks.unit_rows(out)

    def sample(self, lm, n, seed=0, max_tokens=48, *, begin=""):
        """Write texts like those that the prompt was learned from.

        Args:
            lm: the `models.LM` it was learned with.
            n: int, texts.
            seed: int.
            max_tokens: int, the longest text; a text may end before.
            begin: str, what stands between the prompt and the text and is not written again.

        Returns:
            list of n `Sample` with `ids` and `log_prob` (nats, after leaving out the unlikeliest twentieth of each word's law).

        Raises:
            ModelError: another model.
            ValueError: a prompt that was learned with labels: it has learned to answer, not to write.
        """
        checks.whole("n", n)
        self._check(lm)
        if self.labels:
            raise ValueError("This prompt has learned to label texts, not to write them: learn one with labels=None.")
        head = torch.cat([self._torch(lm), embedded(lm, begin)])
        if len(head) >= window(lm):
            raise ValueError(f"{len(head)} vectors and tokens fill the {window(lm)} positions of {lm.name}: shorten `begin`.")
        checks.whole("max_tokens", max_tokens, 1, window(lm) - len(head))
        end, random = lm.tokenizer.eos_token_id, torch.Generator().manual_seed(checks.seed(seed))
        rows, nats, over = [[] for _ in range(n)], np.zeros(n), torch.zeros(n, dtype=torch.bool)
        reader = Frozen(lm, self.config, [])
        with frozen(lm), torch.inference_mode():
            for logits in reader.write(head, rows, max_tokens):
                law = _CUT.log_law(logits.cpu())[0]
                token = (law - torch.empty(law.shape).exponential_(generator=random).log()).argmax(1)
                for row in (~over).nonzero()[:, 0].tolist():
                    rows[row].append(int(token[row]))
                    nats[row] += float(law[row, token[row]])
                over |= token == (-1 if end is None else end)
                if over.all():
                    break
        texts = lm.tokenizer.batch_decode(rows, skip_special_tokens=True)
        return [
            Sample(text.strip(), ids=tuple(row), log_prob=float(log_p))
            for text, row, log_p in zip(texts, rows, nats, strict=True)
        ]

    def nearest_words(self, lm, n=1):
        """The tokens whose embeddings point most nearly where the vectors point.

        They are no translation: typed in place of the vectors, they do another thing (Lester et al., arXiv:2104.08691, section
        7). A vector that hardly moved is still near to its first word.

        Args:
            lm: the `models.LM` it was learned with.
            n: int, tokens for each vector.

        Returns:
            list of k lists of n pairs (str, cosine -1..1), the nearest first.

        Raises:
            ModelError: another model.
        """
        self._check(lm)
        table = lm.model.get_input_embeddings().weight.detach().float()
        checks.whole("n", n, 1, len(table))
        unit = torch.nn.functional.normalize
        cosines, ids = (unit(self._torch(lm), dim=1) @ unit(table, dim=1).T).topk(n)
        return [
            [(lm.tokenizer.decode([token]), value) for token, value in zip(*pair, strict=True)]
            for pair in zip(ids.tolist(), cosines.tolist(), strict=True)
        ]

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        config = {"options": asdict(self.config), "labels": list(self.labels), "model": self.model, "sha256": self.sha256}
        return {**config, "history": list(self.history), "stopped": self.stopped}, {"vectors": self.vectors}

    @classmethod
    def from_state(cls, config, tensors):
        """The `SoftPrompt` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        check_layout(tensors, {"vectors": "float32 k w"})
        for name in ("model", "sha256"):
            if not isinstance(config[name], str):
                raise TypeError(f"{name} is no str")
        labels = tuple(checks.texts(config["labels"], "labels")) if config["labels"] else ()
        checks.one_of("stopped", config["stopped"], STOPPED)
        options = SoftConfig(**config["options"])
        history = tuple(dict(row) for row in config["history"])
        return cls(tensors["vectors"], labels, options, config["model"], config["sha256"], history, config["stopped"])

    def _log_probabilities(self, lm, texts):
        """Log-probabilities of the labels: float64 (n, c), nats."""
        return log_probabilities(lm, [self], texts)[0]

    def _torch(self, lm):
        return torch.from_numpy(self.vectors).to(lm.model.device)

    def _check(self, lm):
        """Refuse another model than the one it was learned with, before any work."""
        width = check_lm(lm).model.get_input_embeddings().weight.shape[1]
        if width != self.vectors.shape[1]:
            raise ModelError(
                f"This soft prompt was learned with {self.model} and has vectors of width {self.vectors.shape[1]}; {lm.name} has "
                f"{width}. Load the model it was learned with."
            )
        if sha256(lm) != self.sha256:
            raise ModelError(
                f"This soft prompt was learned with {self.model}, and {lm.name} is another model: the sha256 of its weights is "
                f"{sha256(lm)[:12]}..., expected {self.sha256[:12]}.... Load the old one, or learn the prompt again."
            )


@dataclass(frozen=True)
class Ensemble:
    """Soft prompts of one task that vote: the mean of their log-probabilities, as probabilities again.

    Attributes:
        prompts: list of `SoftPrompt` with the same labels.

    Raises:
        ValueError: none, or other labels.
    """

    prompts: tuple

    def __post_init__(self):
        object.__setattr__(self, "prompts", tuple(self.prompts))
        labels = {prompt.labels for prompt in self.prompts}
        if len(labels) != 1 or labels == {()}:
            raise ValueError(f"An ensemble takes one or more prompts with the same labels, got {sorted(labels)}.")

    def probabilities(self, lm, texts):
        """How likely each label is: as `SoftPrompt.probabilities`."""
        together = len({(prompt.config.layout, prompt.config.template) for prompt in self.prompts}) == 1
        groups = [self.prompts] if together else [[prompt] for prompt in self.prompts]
        votes = np.mean([votes for group in groups for votes in log_probabilities(lm, group, texts)], 0)
        return np.exp(votes - np.logaddexp.reduce(votes, 1, keepdims=True))

    def classify(self, lm, texts):
        """The likeliest label of each text: list of n str."""
        return _named(self.prompts[0].labels, self.probabilities(lm, texts))


def log_probabilities(lm, prompts, texts):
    """Log-probabilities of the labels by several prompts with one layout and template, which read each text once.

    Args:
        lm: `models.LM`.
        prompts: list of p `SoftPrompt`.
        texts: list of n str.

    Returns:
        list of p float64 arrays (n, c), nats.

    Raises:
        ModelError, TypeError, ValueError: as `SoftPrompt.probabilities`.
    """
    reader, items, vectors = _reader(lm, prompts, texts)
    with frozen(lm), torch.inference_mode():
        return scored(reader, items, vectors)


def scored(reader, items, vectors):
    """Log-probabilities of the labels on rows of a `Frozen`.

    Args:
        reader: `Frozen` of p tasks.
        items: list of (task, row), all rows of all tasks.
        vectors: list of p tensors (k, w).

    Returns:
        list of p float64 arrays (n, c), nats.
    """
    out = [np.zeros((len(task.texts), len(task.classes))) for task in reader.tasks]
    for part in reader.parts(items):
        for (j, rows), scores in zip(by_prompt(part).items(), reader.scores(vectors, part), strict=True):
            out[j][rows] = scores.double().log_softmax(1).cpu().numpy()
    return out


def _reader(lm, prompts, texts):
    """What prompts with labels read texts with: (`Frozen`, items of all prompts and texts, their vectors)."""
    for prompt in prompts:
        prompt._check(lm)
        if not prompt.labels:
            raise ValueError("This prompt was learned from texts without labels: it can write (sample), not classify.")
    texts = only_texts(texts)
    tasks = [read_rows(lm, texts, [p.labels[0]] * len(texts), p.config, len(p.vectors), p.labels) for p in prompts]
    items = [(j, i) for j in range(len(prompts)) for i in range(len(texts))]
    return Frozen(lm, prompts[0].config, tasks), items, [prompt._torch(lm) for prompt in prompts]


def embedded(lm, words):
    """The embeddings of words, as a model reads them: float32 tensor (t, w); t may be 0."""
    table = lm.model.get_input_embeddings().weight.detach()
    return table[torch.tensor(tokens_of(lm, words), dtype=torch.long, device=table.device)].float()


def check_vectors(vectors, name="vectors"):
    """Refuse what is no finite float32 array (k, w)."""
    if not isinstance(vectors, np.ndarray) or vectors.dtype != np.float32 or vectors.ndim != 2:
        came = f"{vectors.dtype} {vectors.shape}" if isinstance(vectors, np.ndarray) else type(vectors).__name__
        raise ValueError(f"{name} must be a float32 array (k, w): k vectors of the width of the model; got {came}.")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} hold NaN or infinity.")
    return vectors


def _named(labels, scores):
    return [labels[best] for best in scores.argmax(1)]
