"""Phrases: a policy that chooses, for a task in words, the phrase to send along with a message."""

import hashlib

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Saved, check_layout
from workbench.values import Sample

_SHARP = 10.0  # of the match of task and phrase, whose cosines differ by tenths


class Phrases(Saved):
    """A policy that chooses, for a task that is said in words, one of some phrases to send along with a message.

    The score of a phrase is 10 m cos(task, phrase) + task' W phrase / d + bias, of features of both texts; m, W and the biases
    begin at 0, all phrases equally likely. All tasks share them, so that a task that was never seen begins with what the others
    taught: that a phrase should be about the task, and which phrases are of use at all.

    Args:
        phrases: list of k str.
        tasks: dict of name to description, str.
        embed: function, list of n str -> float (n, d), features of texts, such as `clip.text_features`.

    Raises:
        ValueError: no phrases or tasks, a phrase that occurs twice, or features that are not (n, d).
    """

    kind = "phrase policy"

    def __init__(self, phrases, tasks, embed):
        phrases = checks.texts(phrases, "phrases")
        if len(set(phrases)) < len(phrases):
            raise ValueError("A phrase occurs twice. Give each once.")
        describe = checks.texts(list(tasks.values()), "descriptions of tasks")
        found = _features(embed, [*phrases, *describe])
        self._set(phrases, found[: len(phrases)], dict(zip(tasks, found[len(phrases) :], strict=True)), None)

    def _set(self, phrases, features, tasks, weights):
        self.phrases, self.features, self.tasks = tuple(phrases), features, tasks
        self.weights = torch.nn.ParameterDict(
            {"match": torch.zeros(1), "map": torch.zeros(features.shape[1], features.shape[1]), "bias": torch.zeros(len(phrases))}
            if weights is None
            else weights
        )
        return self

    def for_tasks(self, tasks, embed):
        """This policy, with what it learned, for other tasks: dict of name to description, and `embed` as before."""
        found = _features(embed, checks.texts(list(tasks.values()), "descriptions of tasks"))
        if found.shape[1] != self.features.shape[1]:
            raise ValueError(f"These features are {found.shape[1]} wide, those of the phrases {self.features.shape[1]}.")
        other = self.copy()
        other.tasks = dict(zip(tasks, found, strict=True))
        return other

    def law(self, task):
        """How likely each phrase is for a task: float64 (k,), sums to 1."""
        with torch.no_grad():
            return self._logits([task])[0].double().softmax(0).numpy()

    def best(self, prompts):
        """The likeliest phrase behind each message, as `draw` gives them: list of n `Sample`."""
        return [self._say(prompt, int(self.law(prompt.context).argmax())) for prompt in self.check(prompts)]

    @property
    def modules(self):
        """What learns: dict of str to torch.nn.Module."""
        return {"weights": self.weights}

    def check(self, prompts):
        """Messages as a list; ValueError where one has no task of this policy."""
        unknown = sorted({str(getattr(prompt, "context", "")) for prompt in prompts} - set(self.tasks))
        if unknown:
            raise ValueError(
                f"Messages must be values.Sample(text, context=task), with a task of {', '.join(self.tasks)}; got "
                f"{', '.join(map(repr, unknown))}."
            )
        return list(prompts)

    def copy(self, learns=True):
        """This policy with weights of its own."""
        other = object.__new__(Phrases)._set(self.phrases, self.features, dict(self.tasks), None)
        other.weights.load_state_dict(self.weights.state_dict())
        other.weights.requires_grad_(learns)
        return other

    def sha256(self):
        """The sha256 of phrases, features and weights, in hex."""
        config, tensors = self.to_state()
        digest = hashlib.sha256(repr(config).encode())
        for name in sorted(tensors):
            digest.update(tensors[name].tobytes())
        return digest.hexdigest()

    def draw(self, prompts, n, generator):
        """Send n random phrases behind each message: list of lists of `Sample`, whose `ids` hold the number of the phrase."""
        with torch.no_grad():
            law = self._logits([prompt.context for prompt in prompts]).softmax(1)
        chosen = torch.multinomial(law, n, replacement=True, generator=generator)
        return [[self._say(prompt, int(i)) for i in row] for prompt, row in zip(prompts, chosen, strict=True)]

    def log_probs(self, tries):
        """(float tensor (r, 1) with gradients, bool tensor (r, 1))."""
        law = self._logits([one.context for one in tries]).log_softmax(1)
        found = law.gather(1, torch.tensor([one.ids for one in tries]))
        return found, torch.ones_like(found, dtype=torch.bool)

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        tensors = {name: value.detach().numpy().copy() for name, value in self.weights.items()}
        tensors |= {"phrases": self.features.numpy(), "tasks": torch.stack(list(self.tasks.values())).numpy()}
        return {"phrases": list(self.phrases), "tasks": list(self.tasks)}, tensors

    @classmethod
    def from_state(cls, config, tensors):
        """The `Phrases` that `to_state` described."""
        sizes = check_layout(
            tensors,
            {"phrases": "float32 k d", "tasks": "float32 t d", "map": "float32 d d", "bias": "float32 k", "match": "float32 1"},
        )
        if sizes["k"] != len(config["phrases"]) or sizes["t"] != len(config["tasks"]):
            raise ValueError("its features are those of other phrases or tasks")
        one = {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}
        weights = {name: one[name] for name in ("match", "map", "bias")}
        tasks = dict(zip(config["tasks"], one["tasks"], strict=True))
        return object.__new__(cls)._set(config["phrases"], one["phrases"], tasks, weights)

    def _logits(self, tasks):
        tasks = torch.stack([self.tasks[task] for task in tasks])
        width = tasks.shape[1]  # the map has width times width numbers: by their number its steps would drown the match
        both = torch.eye(width) * _SHARP * self.weights["match"] + self.weights["map"] / width
        return tasks @ both @ self.features.T + self.weights["bias"]

    def _say(self, prompt, i):
        return Sample(f"{prompt} {self.phrases[i]}".strip(), ids=(i,), context=prompt.context)


def _features(embed, texts):
    """Features of texts: float32 tensor (n, d), L2 norm 1."""
    found = embed(texts)
    found = found.detach().cpu().float() if isinstance(found, torch.Tensor) else torch.from_numpy(np.array(found, np.float32))
    if found.ndim != 2 or len(found) != len(texts) or not torch.isfinite(found).all():
        raise ValueError(f"embed must give finite features (n, d) of {len(texts)} texts, got {tuple(found.shape)}.")
    return torch.nn.functional.normalize(found, dim=1)
