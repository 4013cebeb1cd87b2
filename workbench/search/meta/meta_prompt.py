"""A meta-prompt: makes a prompt for a task from a few examples of it, or a description."""

from dataclasses import asdict, dataclass

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Saved
from workbench.search.meta.canonical import balanced
from workbench.search.meta.config import MetaConfig
from workbench.search.meta.maker import Maker, spelled
from workbench.search.soft.config import SoftConfig
from workbench.search.soft.frozen import Frozen, frozen
from workbench.search.soft.learning import start_vectors
from workbench.search.soft.rows import check_lm
from workbench.search.soft.soft_prompt import STOPPED, SoftPrompt, sha256
from workbench.values import ModelError


@dataclass(frozen=True, eq=False)
class MetaPrompt(Saved):
    """What makes prompts for a model, without learning: one forward through the model that creates them.

    Attributes:
        weights: dict of str to float32 array: "variable" (m, w), the meta-prompt; "begun" (m, w), which is added to it; and with
            a map "base" (k, w), "centre" (k, d), "read" (16, d) and "map" (k * w, k * 16).
        config: `MetaConfig` it was learned with.
        model, sha256: str, name and fingerprint of the model that the prompts are for.
        maker, maker_sha256: str, of the model that creates them; mostly the same.
        tasks: tuple of (name, sha256 of its rows), what it was learned from.
        user: str or None, the only one it is for.
        history: tuple of dicts, one for each 10 steps: `step`, `loss` and, end to end, `accuracy`.
        stopped: str, "steps" or "interrupted".

    Source:
        WO2023022727A1, on meta-prompts.
    """

    kind = "meta-prompt"
    weights: dict
    config: MetaConfig
    model: str
    sha256: str
    maker: str
    maker_sha256: str
    tasks: tuple
    user: str | None = None
    history: tuple = ()
    stopped: str = "steps"

    def make(self, lm, examples, labels=None, *, maker=None, user=None):
        """A prompt for a task.

        Args:
            lm: the `models.LM` that the prompt is for.
            examples: list of pairs (text, label), as many as `config.examples`, fewer or more only with
                `config.join` "concatenate"; or, with that, a str that describes the task.
            labels: list of str, all labels there are; None takes those of the examples; () makes a prompt that writes.
            maker: the `models.LM` that creates it; None takes `lm`.
            user: str, who asks; a meta-prompt of one user makes prompts for that one only.

        Returns:
            `SoftPrompt`; equal arguments give equal vectors.

        Raises:
            ModelError: another model.
            TypeError, ValueError: no examples or not so many, fewer than two labels, more tokens than the window, or another
                user.
        """
        if self.user is not None and user != self.user:
            raise ValueError(f"This meta-prompt is for one user only, and not for {user!r}.")
        check_model(lm, self.model, self.sha256)
        if maker is not None:
            check_model(maker, self.maker, self.maker_sha256)
        elif self.maker_sha256 != self.sha256:
            raise ModelError(f"This meta-prompt is read by {self.maker}: give that model too, maker=load_lm({self.maker!r}).")
        maker = maker or lm
        bare = labels == ()
        rows = spelled(maker, self.config, examples, () if labels is None or bare else checks.texts(labels, "labels"))
        known = sorted(set(labels if labels is not None else [] if isinstance(examples, str) else [one[1] for one in examples]))
        if len(known) < 2 and not bare:
            raise ValueError(f"A task has two or more different labels, these are {known}.")
        with frozen(maker), torch.inference_mode():
            vectors = network_of(self, lm, maker)(Frozen(maker, self.config.prompt, []), [rows])[0].float().cpu().numpy()
        return SoftPrompt(np.ascontiguousarray(vectors), tuple(known), self.config.prompt, self.model, self.sha256)

    def from_rows(self, lm, texts, labels, *, maker=None, user=None):
        """A prompt for a task of many rows, of which as many as `config.examples` are shown, each label about equally often.

        Args:
            lm: as in `make`.
            texts: list of n str.
            labels: list of n str; those that are shown are drawn by `config.seed`.
            maker: as in `make`.
            user: as in `make`.

        Returns:
            `SoftPrompt`.

        Raises:
            ModelError, TypeError, ValueError: as in `make`; other numbers of texts and labels.
        """
        texts, labels = checks.texts(texts, "texts"), checks.texts(labels, "labels")
        if len(texts) != len(labels):
            raise ValueError(f"There are {len(texts)} texts and {len(labels)} labels; each text needs one.")
        order = np.random.default_rng([self.config.seed, 9]).permutation(len(texts)).tolist()
        examples = [(texts[i], labels[i]) for i in balanced(order, labels, self.config.examples)]
        return self.make(lm, examples, labels, maker=maker, user=user)

    def classify(self, lm, examples, texts, labels=None, *, maker=None, user=None):
        """Labels of texts straight from examples: what `make(...).classify(lm, texts)` gives."""
        return self.make(lm, examples, labels, maker=maker, user=user).classify(lm, texts)

    def to_state(self):
        """Config (JSON values) and tensors that `from_state` reads."""
        names = ("model", "sha256", "maker", "maker_sha256", "user", "stopped")
        config = {name: getattr(self, name) for name in names} | {"options": asdict(self.config), "history": list(self.history)}
        return config | {"tasks": [list(task) for task in self.tasks]}, dict(self.weights)

    @classmethod
    def from_state(cls, config, tensors):
        """The `MetaPrompt` that `to_state` described; KeyError, TypeError or ValueError for what is none."""
        for name in ("model", "sha256", "maker", "maker_sha256"):
            if not isinstance(config[name], str):
                raise TypeError(f"{name} is no str")
        checks.one_of("stopped", config["stopped"], STOPPED)
        options = MetaConfig(**config["options"] | {"prompt": SoftConfig(**config["options"]["prompt"])})
        wanted = {"variable", "begun"} | ({"base", "centre", "read", "map"} if options.map != "none" else set())
        if tensors.keys() != wanted:
            raise ValueError(f"there are {sorted(tensors)}, expected {sorted(wanted)}")
        if any(array.dtype != np.float32 or array.ndim != 2 for array in tensors.values()):
            raise ValueError("weights are float32 arrays of two axes")
        sizes = {"variable": options.size, "base": options.prompt.vectors}
        if any(len(tensors[name]) != size for name, size in sizes.items() if name in tensors):
            raise ValueError(f"weights do not fit the options: {sizes}")
        known = ("model", "sha256", "maker", "maker_sha256")
        return cls(
            weights=tensors,
            config=options,
            tasks=tuple(tuple(task) for task in config["tasks"]),
            user=config["user"],
            history=tuple(dict(row) for row in config["history"]),
            stopped=config["stopped"],
            **{name: config[name] for name in known},
        )


def maker_of(lm, maker, config, base=None):
    """A `Maker` for prompts of a model, as it begins.

    Raises:
        ValueError: models of unlike width without a map.
    """
    wide, read = (one.model.get_input_embeddings().weight.shape[1] for one in (lm, maker))
    if wide != read and config.map == "none":
        raise ValueError(
            f"{maker.name} has states of width {read} and {lm.name} embeddings of width {wide}: prompts from one for the other "
            "need a map, MetaConfig(map='last')."
        )
    base = start_vectors(lm, config.prompt) if base is None else base
    variable = start_vectors(maker, config.prompt.replace(vectors=config.size))
    length = float(lm.model.get_input_embeddings().weight.detach().float().square().mean().sqrt())
    return Maker(config, variable, base, maker.model.config.num_hidden_layers + 1, length)


def network_of(learned, lm, maker):
    """The `Maker` of a `MetaPrompt`."""
    network = maker_of(lm, maker, learned.config)
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in learned.weights.items()})
    return network


def history_of(run):
    """The history of a `training.Run` as a meta-prompt keeps it: list of dicts."""
    return [{key: value if key == "step" else round(value, 5) for key, value in row.items()} for row in run.history]


def check_model(lm, name, digest):
    """Refuse another model."""
    if sha256(check_lm(lm)) != digest:
        raise ModelError(
            f"This meta-prompt was learned with {name}, and {lm.name} is another model: the sha256 of its weights is "
            f"{sha256(lm)[:12]}..., expected {digest[:12]}.... Load the old one, or learn the meta-prompt again."
        )
