"""Options of a search for hard prompts."""

import dataclasses
import math
from dataclasses import dataclass

METHODS = ("pez", "project_once", "project_every_step", "hotflip", "langevin", "gcg")
SWAPPING = ("hotflip", "gcg")
VOCABULARIES = ("all", "printable", "ascii", "words")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class PEZConfig:
    """Options of `search`, `search_many` and `search_text`. What is None becomes the default named, which depends on the rest.

    Attributes:
        method: str, how prompts move.
            "pez": vectors are kept, gradients are taken at the nearest tokens (Wen et al., arXiv:2302.03668, algorithm 1).
            "project_once": vectors move freely, tokens are read off at the end.
            "project_every_step": vectors become the nearest tokens in every step.
            "hotflip": one token a step is swapped for the best of those the gradient points to (AutoPrompt, arXiv:2010.15980).
            "langevin": "project_every_step" with noise that fades out (FluentPrompt, arXiv:2212.10539).
            "gcg": the best of random swaps among those the gradient points to (GCG, arXiv:2307.15043).
        length: int, tokens to find, >= 1.
        steps: int, steps in all, `polish` among them, >= 1.
        polish: int, how many of the steps, the last ones, swap tokens of the best prompt found: position after position, for a
            token that the gradient proposes or for another of the prompt, and only for the better. 0 leaves it out, as the
            paper does; the default is a fifth of the steps for the methods that move vectors and 0 for those that swap anyway.
            Such a step scores `candidates` + `length` prompts; the polish ends when a round brought nothing.
        restarts: int, prompts that are searched for side by side; the best is the result, >= 1.
        prefix: str, fixed text before the tokens.
        suffix: str, fixed text behind them.
        vocabulary: str, tokens to choose from. "all": the special ones too; "printable" (default): those that print as text;
            "ascii": only with characters 32 to 126; "words": those that stand alone, so that the text is split into the same
            tokens again.
        blocked: tuple of str, what may not occur in the text, also across tokens; upper and lower case are the same.
        insist: bool, prefer prompts whose text is split into the same tokens again; others are taken if none was met.
        fluency: float >= 0, what a nat per token of the language model given as `lm` costs, in units of the similarity.
        learning_rate: float > 0 of AdamW; default .1.
        weight_decay: float >= 0 of AdamW; default .1.
        candidates: int, tokens the gradient proposes for a position when tokens are swapped, >= 1.
        width: int, swaps that "gcg" tries in a step, >= 1.
        noise: float >= 0, of "langevin", in units of the spread of the token vectors, at the start; it fades to a hundredth.
        targets_per_step: int or None, take the gradient at so many targets, drawn anew in each step; None takes all.
        patience: int or None, end a search when so many steps brought nothing better than 1e-4.
        stop_at: float or None, end a search when the similarity reaches this.
        strict: bool, repeat the loop that the authors of PEZ released draw by draw and bit by bit: the same tokens in every
            step, given the same weights and seed. Only for "pez", and with its defaults: all tokens, no polish, learning rate
            and decay .1. Costs a little more than the same steps without it. Of "bfloat16" the bits are its own.
        dtype: str, "float32", or "bfloat16" for the text tower: faster where the processor multiplies it, *not* the same result.
        save_every: int, steps between two saves when `resume` names a folder, >= 1.
        seed: int >= 0. Search i of `search_many` draws from seed + i and from nothing else.

    Raises:
        ValueError: an option out of its range, or two that exclude each other.
    """

    method: str = "pez"
    length: int = 8
    steps: int = 200
    polish: int | None = None
    restarts: int = 4
    prefix: str = ""
    suffix: str = ""
    vocabulary: str | None = None
    blocked: tuple = ()
    insist: bool = False
    fluency: float = 0.0
    learning_rate: float | None = None
    weight_decay: float | None = None
    candidates: int = 64
    width: int = 128
    noise: float = 1.0
    targets_per_step: int | None = None
    patience: int | None = None
    stop_at: float | None = None
    strict: bool = False
    dtype: str = "float32"
    save_every: int = 50
    seed: int = 0

    def __post_init__(self):
        blocked = (self.blocked,) if isinstance(self.blocked, str) else tuple(self.blocked)
        if not all(isinstance(text, str) and text.strip() for text in blocked):
            raise ValueError(f"PEZConfig: blocked must be texts that are not empty, got {self.blocked!r}.")
        moving = self.method not in SWAPPING and not self.strict
        defaults = {
            "blocked": blocked,
            "polish": self.steps // 5 if moving and type(self.steps) is int else 0,
            "vocabulary": "all" if self.strict else "printable",
            "learning_rate": 0.1,
            "weight_decay": 0.1,
        }
        left_open = [name for name in defaults if getattr(self, name) is None]
        object.__setattr__(self, "_open", left_open)
        for name, value in defaults.items():
            if name == "blocked" or getattr(self, name) is None:
                object.__setattr__(self, name, value)
        _check_choices(self)
        _check_numbers(self)
        if self.strict:
            _check_strict(self)

    def replace(self, **changes):
        """The same options with `changes`; what was left open, such as `polish`, is settled anew."""
        return dataclasses.replace(self, **(dict.fromkeys(self._open) | changes))


def _check_choices(config):
    for name, choices in (("method", METHODS), ("vocabulary", VOCABULARIES), ("dtype", DTYPES)):
        if getattr(config, name) not in choices:
            raise ValueError(f"PEZConfig: {name} must be one of {', '.join(choices)}; got {getattr(config, name)!r}.")
    for name in ("prefix", "suffix"):
        if not isinstance(getattr(config, name), str):
            raise ValueError(f"PEZConfig: {name} must be a str, got {getattr(config, name)!r}.")


def _check_numbers(config):
    least = {"length": 1, "steps": 1, "polish": 0, "restarts": 1, "candidates": 1, "width": 1, "save_every": 1, "seed": 0}
    least |= {"targets_per_step": 1, "patience": 1}
    for name, lowest in least.items():
        value = getattr(config, name)
        if value is None and name in ("targets_per_step", "patience"):
            continue
        if type(value) is not int or value < lowest:
            raise ValueError(f"PEZConfig: {name} must be an int >= {lowest}, got {value!r}.")
    if config.polish >= config.steps and config.polish:
        raise ValueError(f"PEZConfig: polish is one part of the steps: {config.polish} of {config.steps} leaves none to search.")
    for name in ("fluency", "learning_rate", "weight_decay", "noise"):
        value = getattr(config, name)
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0 or (name == "learning_rate" and not value):
            raise ValueError(f"PEZConfig: {name} must be a finite number {'>' if 'rate' in name else '>='} 0, got {value!r}.")
    if config.stop_at is not None and not (type(config.stop_at) in (int, float) and math.isfinite(config.stop_at)):
        raise ValueError(f"PEZConfig: stop_at must be a finite number or None, got {config.stop_at!r}.")


def _check_strict(config):
    plain = PEZConfig(vocabulary="all", polish=0)
    names = ("method", "vocabulary", "polish", "prefix", "suffix", "blocked", "insist", "fluency")
    other = [name for name in names if getattr(config, name) != getattr(plain, name)]
    if other:
        raise ValueError(f"PEZConfig: strict repeats the released loop, which has no such {', '.join(other)}. Leave it out.")
