"""A rewriter: a language model that continues words as they were typed, so that nothing that was asked for is lost."""

import copy
import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch

from workbench import checks, files
from workbench.artifacts import Checkpoint
from workbench.models.lm import LM, fingerprint, window
from workbench.models.loading import quiet
from workbench.search.adapt.config import RewriterConfig
from workbench.search.soft.learning import batch
from workbench.training import adamw, cosine, train
from workbench.values import ModelError, Sample

_ROWS = 64  # texts in one forward pass when they are written
_WARMUP, _FLOOR = 5, 0.1


@dataclass(frozen=True, eq=False)
class Rewriter:
    """A policy that writes what comes behind a prompt as typed.

    Attributes:
        lm: `models.LM`; in float32 to learn.
        max_tokens: int, tokens written at most, the end included.
        layers: int or None, how many of the last layers learn; None: all weights.
        history: list of dicts, of the supervised training: `step` and `loss`, nats a token.

    Raises:
        TypeError: not an LM.
        ValueError: max_tokens or layers below 1.
    """

    lm: LM
    max_tokens: int = 16
    layers: int | None = None
    history: list = field(default_factory=list)

    def __post_init__(self):
        if not isinstance(self.lm, LM):
            raise TypeError(f"Give what models.load_lm returns, got {type(self.lm).__name__}.")
        checks.whole("max_tokens", self.max_tokens)
        if self.layers is not None:
            checks.whole("layers", self.layers)

    def write(self, prompts, n=1, seed=0):
        """Continue each prompt n times at random.

        Args:
            prompts: list of p str, the words as typed.
            n: int, tries for each.
            seed: int.

        Returns:
            list of p lists of n `Sample`: whole texts, each begins with its prompt, which is its `context`.

        Raises:
            ValueError: a prompt that leaves no room in the model's window, or is empty where the tokenizer has no begin token.
        """
        checks.whole("n", n)
        return self.draw(self.check(prompts), n, torch.Generator().manual_seed(checks.seed(seed)))

    def best(self, prompts):
        """Continue each prompt with the likeliest token at each place: list of p `Sample`. Errors as in `write`."""
        return [tries[0] for tries in self.draw(self.check(prompts), 1, None)]

    def log_score(self, prompts, texts):
        """Log-probabilities of whole texts behind their prompts.

        Args:
            prompts: list of n str, the words as typed.
            texts: list of n str, each begins with its prompt.

        Returns:
            float64 (n,), nats, of all tokens behind the prompt, the end included; -inf for a text that does not begin so.

        Raises:
            ValueError: a text that is longer than the model's window, or an empty prompt where the tokenizer has no begin token.
        """
        out, rows = np.full(len(texts), -np.inf), []
        for row, (typed, text) in enumerate(zip(prompts, texts, strict=True)):
            if text.startswith(typed):
                rows.append((row, split(self.lm, str(typed), str(text))))
        with torch.inference_mode():
            for at in range(0, len(rows), _ROWS):
                part = rows[at : at + _ROWS]
                found, there = token_log_probs(self.lm, [pair for _, pair in part])
                out[[row for row, _ in part]] = (found * there).double().sum(1).numpy()
        return out

    def save(self, folder):
        """Write model and tokenizer where `models.load_lm` finds them; its other fields are for you to give again.

        `Rewriter(models.load_lm(folder), max_tokens, layers)` is this one again.

        Raises:
            ArtifactError: the folder holds something else, it cannot be written, or the disk is full.
        """
        with files.replacing_ours(files.path(folder, "folder"), "rewriter", "files.json") as part, quiet():
            self.lm.model.save_pretrained(part)
            self.lm.tokenizer.save_pretrained(part)

    # ---- what learning needs besides ----------------------------------------------------------------------------------------

    @property
    def modules(self):
        """What learns: dict of str to torch.nn.Module."""
        model = self.lm.model
        if self.layers is None:
            return {"lm": model}
        stacks = [part for part in model.modules() if isinstance(part, torch.nn.ModuleList)]
        (stack,) = [part for part in stacks if len(part) == model.config.num_hidden_layers][:1] or [None]
        if stack is None or self.layers > len(stack):
            raise ModelError(f"layers={self.layers} is more than {self.lm.name} has. Take fewer, or None for all weights.")
        return {f"layer {i}": stack[i] for i in range(len(stack) - self.layers, len(stack))}

    def check(self, prompts):
        """Prompts as a list; TypeError for what is no str, ValueError for one that it cannot continue."""
        found = checks.texts(prompts, "prompts")
        for one in found:
            check_room(self.lm, [tokens(self.lm, one)], self.max_tokens)
        return found

    def copy(self, learns=True):
        """This policy with weights of its own where it learns; what stays frozen is shared. ModelError if it cannot learn."""
        kind = str(self.lm.model.dtype).removeprefix("torch.")
        if learns and kind in ("bfloat16", "float16"):  # a step of less than 1/512 of a weight would round to none
            raise ModelError(f"A rewriter learns in float32, {self.lm.name} is in {kind}. Load it with dtype='float32'.")
        own = {id(p) for module in self.modules.values() for p in module.parameters()}
        # parameters of their own, without a gradient, over the same numbers: the given model keeps its flags
        frozen = [p for p in self.lm.model.parameters() if id(p) not in own]
        shared = {id(p): torch.nn.Parameter(p.detach(), requires_grad=False) for p in frozen}
        model = copy.deepcopy(self.lm.model, shared).eval()
        other = Rewriter(LM(self.lm.name, model, self.lm.tokenizer), self.max_tokens, self.layers, list(self.history))
        for module in other.modules.values():
            module.requires_grad_(learns)
        return other

    def sha256(self):
        """The sha256 of the model, in hex."""
        return fingerprint(self.lm)

    def draw(self, prompts, n, generator):
        """As `write`, with a torch.Generator; None takes the likeliest tokens."""
        starts = [prompt for prompt in prompts for _ in range(n)]
        out = []
        for at in range(0, len(starts), _ROWS):
            part = starts[at : at + _ROWS]
            out += texts_of(self.lm, part, continued(self.lm, [tokens(self.lm, one) for one in part], self.max_tokens, generator))
        return [out[at : at + n] for at in range(0, len(out), n)]

    def log_probs(self, tries):
        """Log-probability of each written token: (float tensor (r, t), bool tensor (r, t), which tokens there are)."""
        return token_log_probs(self.lm, [(tokens(self.lm, one.context), one.ids) for one in tries])


def rewriter(lm, pairs, config=None, *, folder=None, progress=True):
    """Teach a language model to continue short prompts as in examples; the given model is not changed.

    Args:
        lm: `models.LM`.
        pairs: list of n pairs (prompt as typed, whole prompt), such as `adapt.pairs` makes; the second begins with the first.
        config: `RewriterConfig`; None takes the defaults.
        folder: str, Path or None, for checkpoints; the same call goes on from there, to the same result.
        progress: bool, show a progress bar.

    Returns:
        `Rewriter`.

    Raises:
        TypeError: not an LM, or pairs that are no pairs of str.
        ValueError: no pairs, a whole prompt that does not begin with what was typed or adds nothing, one that is longer than
            `max_tokens` or the model's window, or nothing typed where the tokenizer has no begin token.
        ModelError: the model is not in float32, or has fewer layers than are to learn.
        ArtifactError: `folder` holds another run.
        Interrupted: Ctrl-C; the checkpoint is written.

    Source:
        Hao et al., "Optimizing Prompts for Text-to-Image Generation", arXiv:2212.09611, section 2.1. That only words behind
        those typed are written is our change.
    """
    config = config or RewriterConfig()
    policy = Rewriter(lm, config.max_tokens, config.layers)
    rows, policy = _read(lm, pairs, config), policy.copy()
    if not config.steps:
        return policy

    def loss(step):
        chosen = [rows[i] for i in batch(range(len(rows)), config.batch, step, config.seed)]
        found, there = token_log_probs(policy.lm, chosen)
        return -(found * there).sum() / there.sum()

    digest = hashlib.sha256(repr(rows).encode()).hexdigest()
    run = {"options": vars(config), "model": fingerprint(lm), "data": digest}
    done = train(
        loss,
        policy.modules,
        adamw(*policy.modules.values()),
        config.steps,
        cosine(config.rate, config.steps, min(_WARMUP, config.steps - 1), _FLOOR),
        name="learning to continue",
        every=10,
        checkpoint=None if folder is None else Checkpoint(folder, "rewriter training", run),
        save_every=50,
        seed=config.seed,
        progress=progress,
    )
    policy.history.extend(done.history)
    return policy


def pairs(templates, names):
    """Pairs for `rewriter` from templates: what stands before the first slot of some names, and the whole prompt.

    Args:
        templates: list of `Template` without open slots, such as `dsl.read(prompts)`.
        names: list of str, slots that a person leaves out when typing, such as `["style", "artist"]`.

    Returns:
        list of pairs of str. A template that has none of these slots, or begins with one, makes no pair.

    Raises:
        ValueError: no template makes a pair.
        TemplateError: a slot is open.
    """
    out, names = [], set(checks.texts([names] if isinstance(names, str) else names, "names"))
    for template in templates:
        start = next((slot.start for slot in template.slots if slot.name in names), 0)
        typed = template.prompt[:start].rstrip(" ,;-")
        if typed:
            out.append((typed, template.prompt))
    if not out:
        raise ValueError(f"None of {len(templates)} templates has words before a slot of {', '.join(sorted(names))}.")
    return out


def _read(lm, pairs, config):
    """Tokens of pairs: list of (what was typed, what is to be written, the end included)."""
    out = []
    for row, pair in enumerate(pairs):
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            raise TypeError(f"Pair {row} must be (prompt as typed, whole prompt), got {pair!r}.")
        typed, whole = pair
        if not whole.startswith(typed) or not whole[len(typed) :].strip():
            raise ValueError(
                f"Pair {row}: {whole!r} does not continue {typed!r}. The rewriter only adds words behind those typed; leave "
                "such pairs out."
            )
        start, rest = split(lm, typed, whole)
        if len(rest) > config.max_tokens:
            raise ValueError(f"Pair {row} adds {len(rest)} tokens with the end; max_tokens is {config.max_tokens}.")
        out.append((start, rest))
    if not out:
        raise ValueError("rewriter needs pairs (prompt as typed, whole prompt), got none.")
    return out


def split(lm, typed, whole):
    """Tokens of what was typed, and of the rest of a text that begins so, the end included: two lists of int.

    ValueError, see `check_room`.
    """
    start, ids = tokens(lm, typed), tokens(lm, whole)
    if ids[: len(start)] != start:  # the end of one and the start of the other share a token
        ids = start + tokens(lm, whole[len(typed) :], begin=False)
    rest = [*ids[len(start) :], ends_of(lm)[0]]
    check_room(lm, [start], len(rest))
    return start, rest


def tokens(lm, text, begin=True):
    """Tokens of a text, list of int; the begin token first where the tokenizer has one."""
    first = lm.tokenizer.bos_token_id
    ids = lm.tokenizer(text, add_special_tokens=False)["input_ids"] if text else []
    return [first, *ids] if begin and first is not None else ids


def ends_of(lm):
    """Tokens that end a text: list of int."""
    found = [lm.tokenizer.eos_token_id, lm.model.config.eos_token_id]
    flat = {e for one in found for e in (one if isinstance(one, (list, tuple)) else [one]) if e is not None}
    flat = {e for e in flat if e < lm.model.config.vocab_size}  # a tokenizer may have more tokens than its model
    if not flat:
        raise ModelError(f"{lm.name} has no token for the end of a text, so it would never stop.")
    return sorted(flat, key=lambda e: e != lm.tokenizer.eos_token_id)


@torch.inference_mode()
def continued(lm, starts, max_tokens, generator=None):
    """Write behind prompts of different lengths in one batch.

    Args:
        lm: `models.LM`.
        starts: list of r lists of tokens, as `tokens` gives them.
        max_tokens: int, the end included.
        generator: torch.Generator on the CPU, draws at temperature 1; None takes the likeliest token.

    Returns:
        list of r tuples of int, the tokens written, the end included.

    Raises:
        ValueError: a prompt that leaves no room in the model's window, or is empty where the tokenizer has no begin token.
    """
    model = lm.model
    check_room(lm, starts, max_tokens)
    longest, rows = max(map(len, starts)), len(starts)
    step = torch.zeros(rows, longest, dtype=torch.int64)
    mask = torch.zeros(rows, longest, dtype=torch.int64)
    for row, ids in enumerate(starts):  # padded on the left, so that all are continued at one place
        step[row, longest - len(ids) :] = torch.tensor(ids)
        mask[row, longest - len(ids) :] = 1
    places, stops, past = (mask.cumsum(1) - 1).clamp(min=0), torch.tensor(ends_of(lm)), None
    written, over = [], torch.zeros(rows, dtype=torch.bool)
    for _ in range(max_tokens):
        found = model(
            input_ids=step.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=places.to(model.device),
            past_key_values=past,
            use_cache=True,
        )
        past, law = found.past_key_values, found.logits[:, -1].float().cpu().log_softmax(-1)
        if generator is not None:  # exponential races: the same draws on every backend
            law = law - torch.empty(law.shape).exponential_(generator=generator).log()
        token = law.argmax(1)
        written.append(torch.where(over, -1, token))
        over = over | torch.isin(token, stops)
        if bool(over.all()):
            break
        step, places = token[:, None], places[:, -1:] + 1
        mask = torch.cat([mask, torch.ones(rows, 1, dtype=torch.int64)], 1)
    return [tuple(int(token) for token in row if token >= 0) for row in torch.stack(written, 1)]


def check_room(lm, starts, max_tokens):
    """Refuse prompts that leave no room in the window of a model, or are empty without a begin token; ValueError."""
    longest, shortest = max(map(len, starts)), min(map(len, starts))
    if not shortest:
        raise ValueError(f"A prompt is empty, and {lm.name} has no token to begin a text with. Give one word or more.")
    if longest + max_tokens > window(lm):
        raise ValueError(
            f"A prompt of {longest} tokens and {max_tokens} more do not fit into {window(lm)}, the window of {lm.name}."
        )


def texts_of(lm, prompts, written):
    """Whole texts of prompts and the tokens written behind them: list of `Sample`."""
    ends, out = set(ends_of(lm)), []

    def read(ids):
        return lm.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)

    for prompt, ids in zip(prompts, written, strict=True):
        begin, more = tokens(lm, prompt), [i for i in ids if i not in ends]
        start, text = read(begin), read(begin + more)
        rest = text[len(start) :] if text.startswith(start) else read(more)
        out.append(Sample(prompt + rest if prompt else rest.lstrip(), ids=ids, context=str(prompt)))
    return out


def token_log_probs(lm, rows):
    """Log-probabilities of written tokens behind others, with gradients.

    Args:
        lm: `models.LM`.
        rows: list of r pairs (tokens before, tokens written), one written token or more.

    Returns:
        (float32 tensor (r, t), 0 where there is no token; bool tensor (r, t), where there is one).
    """
    width, most = max(len(before) + len(ids) for before, ids in rows), max(len(ids) for _, ids in rows)
    whole, mask = (torch.zeros(len(rows), width, dtype=torch.int64) for _ in range(2))
    at, there = torch.zeros(len(rows), most, dtype=torch.int64), torch.zeros(len(rows), most, dtype=torch.bool)
    for row, (before, ids) in enumerate(rows):
        whole[row, : len(before) + len(ids)] = torch.tensor([*before, *ids])
        mask[row, : len(before) + len(ids)] = 1
        at[row, : len(ids)] = torch.arange(len(ids)) + len(before)
        there[row, : len(ids)] = True
    device = lm.model.device
    logits = lm.model(input_ids=whole[:, :-1].to(device), attention_mask=mask[:, :-1].to(device), use_cache=False).logits.cpu()
    row, place = there.nonzero(as_tuple=True)
    column = at[row, place]
    law = logits[row, column - 1].float().log_softmax(-1)  # only where a token was written: a vocabulary is wide
    found = law.gather(1, whole[row, column][:, None])[:, 0]
    return torch.zeros(len(rows), most).index_put((row, place), found), there


def distinct_pairs(texts):
    """Share of pairs of neighbouring words that are different, over all texts: float 0..1; 1 where there are none."""
    found = [pair for text in texts for words in [str(text).lower().split()] for pair in zip(words, words[1:], strict=False)]
    return len(set(found)) / len(found) if found else 1.0
