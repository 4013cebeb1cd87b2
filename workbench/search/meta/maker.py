"""The maker: one learned variable, read by a frozen model behind examples of a task, becomes a prompt for that task."""

import math

import torch

from workbench.models.lm import window
from workbench.search.soft.rows import tokens_of

_SLOW = 0.02
_RANK = 16  # numbers that a map keeps of the states at one place


class Maker(torch.nn.Module):
    """The meta-prompt as torch weights, and what it makes.

    Args:
        config: `MetaConfig`.
        variable: float32 (m, w of the creating model), what the meta-prompt begins as.
        base: float32 (k, w of the prompts), what the made prompts begin as, if a map is learned.
        layers: int, layers of the creating model, the embeddings too.
        length: float, root mean square of the numbers of an embedding of the model that gets the prompts.
    """

    def __init__(self, config, variable, base, layers, length):
        super().__init__()
        self.all, self.mapped, self.length = config.map == "layers", config.map != "none", length
        self.variable = torch.nn.Parameter(torch.zeros_like(variable) if self.mapped else variable.clone())
        self.register_buffer("begun", variable.clone() if self.mapped else torch.zeros_like(variable))
        if self.mapped:
            self.base = torch.nn.Parameter(base.clone())
            width, places = variable.shape[1] * (layers if self.all else 1), config.prompt.vectors
            self.register_buffer("read", torch.zeros(_RANK, width, device=base.device))
            self.register_buffer("centre", torch.zeros(places, width, device=base.device))
            self.map = torch.nn.Parameter(torch.zeros(base.numel(), places * _RANK, device=base.device))

    def forward(self, reader, tasks):
        """Made vectors float32 (p, k, w) of p tasks, each as `spelled`, in one forward of a `Frozen`."""
        states = self._states(reader, tasks)
        if not self.mapped:
            return states * self.length
        seen = ((states - self.centre) @ self.read.T).flatten(1)
        change = (seen @ self.map.T).view(-1, *self.base.shape)
        return self.base + change / math.sqrt(seen.shape[1])  # so that a step is small beside the base

    def look(self, reader, tasks):
        """Begin the map with the principal components of the states of tasks, at variance 1, less the mean of each place."""
        with torch.no_grad():
            states = self._states(reader, tasks)
            self.centre.copy_(states.mean(0))
            _, sizes, components = torch.linalg.svd((states - self.centre).flatten(0, 1), full_matrices=False)
            kept = int((sizes[:_RANK] > 1e-4 * sizes[0]).sum())  # none where all examples are equal
            spread = sizes[:kept, None] / math.sqrt(states.shape[0] * states.shape[1])
            self.read[:kept] = components[:kept] / spread

    def _states(self, reader, tasks):
        """States of the meta-prompt behind examples, of each layer at mean 0 and variance 1: (p, k, d)."""
        # under a map that was made for its first states, the variable moves slowly
        variable = self.begun + (_SLOW * self.variable if self.mapped else self.variable)
        states = reader.behind([row for task in tasks for row in task], variable, self.all)
        width = self.variable.shape[1]
        states = torch.nn.functional.layer_norm(states.unflatten(2, (-1, width)), (width,)).flatten(2)
        return states.reshape(len(tasks), -1, states.shape[2])


def spelled(lm, config, examples, labels=()):
    """Examples, or a description, as the creating model reads them: list of lists of tokens.

    Args:
        lm: `LM` that reads them.
        config: `MetaConfig`.
        examples: list of pairs (text, label), as many as `config.examples` with "each"; or a str, the description of a task,
            with "concatenate" only.
        labels: list of str that the labels must be among; () for any.

    Raises:
        TypeError, ValueError: no such examples; too many of them, or more tokens than the window.
    """
    if isinstance(examples, str):
        if config.join == "each":
            raise ValueError("A description is one text: make prompts from it with MetaConfig(join='concatenate').")
        if not examples.strip():
            raise ValueError("The description is empty.")
        pieces = [examples]
    else:
        examples = [tuple(one) for one in examples]
        if not examples or any(
            len(one) != 2 or not all(isinstance(part, str) and part.strip() for part in one) for one in examples
        ):
            raise ValueError(
                "Examples are one or more pairs (text, label) of str that are not empty; or a str that describes them."
            )
        if config.join == "each" and len(examples) != config.examples:
            raise ValueError(f"This meta-prompt makes prompts from {config.examples} examples, got {len(examples)}.")
        unknown = sorted({label for _, label in examples if labels and label not in labels})
        if unknown:
            raise ValueError(f"Labels {unknown} of examples are not among {sorted(labels)}.")
        if config.map != "none":  # a map knows examples by their places
            examples = sorted(examples, key=lambda one: one[::-1])
        pieces = [_written(config.example, *one) for one in examples]
    if config.join == "concatenate":
        pieces = ["\n".join(pieces)]
    begin = [lm.tokenizer.bos_token_id] * (lm.tokenizer.bos_token_id is not None)
    rows = [begin + tokens_of(lm, piece) for piece in pieces]
    longest, most = max(map(len, rows)), window(lm)
    if longest + config.size > most:
        raise ValueError(
            f"Examples of {longest} tokens and {config.size} vectors are more than the {most} positions of {lm.name}: give "
            "fewer or shorter ones, or MetaConfig(join='each')."
        )
    return rows


def _written(form, text, label):
    """An example in words; a brace in the text stays one."""
    before, after = form.split("{text}")
    return before.replace("{label}", label) + text + after.replace("{label}", label)


def distance(name, made, target):
    """A loss between made and tuned vectors (k, w), the mean over vectors: scalar. See `MetaConfig.loss`."""
    if name == "l2":
        return (made - target).square().sum(1).mean()
    if name == "cosine":
        return (1 - torch.nn.functional.cosine_similarity(made, target, dim=1)).mean()
    made, target = made.double(), torch.nn.functional.normalize(target.double(), dim=1)
    length = made.norm(dim=1).clamp(min=1e-6)
    return (-log_vmf(length, made.shape[1]) - (made * target).sum(1)).mean()


def log_vmf(length, m):
    """The log of the constant of a von Mises-Fisher law on the sphere in m dimensions.

    C_m(x) = x^(m/2 - 1) / ((2 pi)^(m/2) I_(m/2 - 1)(x)); the Bessel function by its uniform expansion in its order, which is
    finite where the function itself is too small or large for a float.

    Args:
        length: float64 tensor, concentrations > 0.
        m: int, dimensions, >= 8.

    Returns:
        float64 tensor, of the same shape.

    Source:
        Kumar and Tsvetkov, arXiv:1812.04616, section 3.1; NIST Digital Library of Mathematical Functions, 10.41.3.
    """
    v = m / 2 - 1
    z = length / v
    root = torch.sqrt(1 + z * z)
    p = 1 / root
    first = (3 * p - 5 * p**3) / 24
    second = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    third = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    eta = root + torch.log(z / (1 + root))
    bessel = v * eta - 0.5 * math.log(2 * math.pi * v) - 0.5 * torch.log(root)
    bessel = bessel + torch.log1p(first / v + second / v**2 + third / v**3)
    return v * torch.log(length) - m / 2 * math.log(2 * math.pi) - bessel
