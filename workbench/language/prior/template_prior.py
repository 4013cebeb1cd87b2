"""Prior: which templates people write. A small recurrent model of slots and the literals between them, without fillers."""

import math
from collections import Counter
from dataclasses import asdict

import numpy as np
import torch

from workbench import checks
from workbench.artifacts import Saved, from_half
from workbench.language.prior.config import PriorConfig
from workbench.language.prior.gru import BLOCK, Network, learn, padded
from workbench.language.prior.steps import Alphabet, check_templates
from workbench.models.cut import Cut
from workbench.values import NotFittedError, Sample

LITERALS = 200  # most common literals kept, as typed; what occurs once is never kept
MAX_PARTS = 64  # slots and literals of a template; the rest is cut


class TemplatePrior(Saved):
    """The probability of a template with open slots: log p = sum over slots and the end of log p(code | all before) + log
    p(literal before it | all before, code).

    After `fit`: `codes_` tuple of int; `literals_` tuple of str, the kept ones; `history_` list of floats, perplexity per slot of
    held-out templates by epoch; `report_` dict: `templates` given, `used` (for learning or held out), `held_out`,
    `replaced` (templates with a rare literal, which the most similar one kept stands for), `replaced_literals` (different ones),
    `cut` (more than 64 parts; their end is not learned), `left_out` (dict of reason to count: "empty", "unknown
    literal", one whose separators no kept literal has), `examples` (rare literal -> what took its place, the 10 most common).

    Weights are float16 numbers from the end of `fit` on, so that saving changes nothing; probabilities are computed in float64.
    """

    kind = "prior"

    def __init__(self, config=PriorConfig()):  # noqa: B008 - frozen
        self.config = config

    def fit(self, templates, progress=True, seed=0):
        """Learn from templates. A random tenth is held out; the weights that suit it best are kept.

        Takes half a minute for 20,000 templates on one core.

        Args:
            templates: list of `Template` whose slots have codes; fillers play no part.
            progress: bool, show a progress bar.
            seed: int.

        Returns:
            self.

        Raises:
            TypeError: not a list of `Template`.
            ValueError: a slot without a code, or fewer than 2 templates to learn from.
        """
        templates, seed = check_templates(templates, "TemplatePrior.fit"), checks.seed(seed)
        alphabet = Alphabet.learn(templates, LITERALS)
        steps, report = _simplified(alphabet, templates)
        if len(steps) < 2:
            raise ValueError(f"A prior needs 2 templates or more, got {len(steps)} of {len(templates)} given. Read more prompts.")
        order = np.random.default_rng(seed).permutation(len(steps))
        n_held = max(1, len(steps) // 10)
        held, train = [steps[i] for i in order[:n_held]], [steps[i] for i in order[n_held:]]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = Network(len(alphabet.codes), len(alphabet.literals), self.config.width)
        history = learn(net, train, held, self.config.epochs, seed, progress)
        return self._restore(net, alphabet, report | {"held_out": n_held}, history)

    def _restore(self, net, alphabet, report, history):
        self._alphabet, self.report_, self.history_ = alphabet, report, history
        self.codes_, self.literals_ = alphabet.codes, alphabet.literals[1:]
        self._net = net.half().double().eval().requires_grad_(False)
        return self

    def _fitted(self):
        if not hasattr(self, "_net"):
            raise NotFittedError("This TemplatePrior has learned nothing yet: call fit first.")

    # ---- writing --------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(self, n, seed=0, temperature=1.0, top_p=1.0, length=None):
        """Draw templates.

        Args:
            n: int, how many; 1 or more.
            seed: int.
            temperature: float above 0: logits are divided by it, at each choice; below 1 the common gets more common.
            top_p: float in (0, 1]: each choice is made among the fewest symbols that together have this probability.
            length: int, number of slots of every template: it cannot end before and must end then; None leaves it to the prior.

        Returns:
            list of n `Sample`. Its `template` has open slots with a code and no name, its `log_prob` is in nats under these
            options, and its text shows codes as numbers: "<3>, by <7>".

        Raises:
            NotFittedError: before `fit`.
            ValueError: an option out of range.

        Source:
            Nucleus sampling: Holtzman et al., arXiv:1904.09751, section 3.1.
        """
        cut = self._checked(temperature, top_p, length)
        n = checks.whole("n", n)
        random = torch.Generator().manual_seed(checks.seed(seed))
        end = self._alphabet.end
        codes, literals = torch.full((n, 1), end), torch.zeros((n, 1), dtype=torch.int64)
        parts, slots, log_p = torch.zeros(n, dtype=torch.int64), 0, torch.zeros(n, dtype=torch.float64)
        open_rows, memory, written = torch.arange(n), None, [[] for _ in range(n)]
        while len(open_rows):
            states, memory = self._net(codes, literals, memory)
            states = states[:, 0]
            law, _ = cut.log_law(self._net.code_head(states), self._may_be_code(parts, slots, length))
            code = torch.multinomial(law.exp(), 1, generator=random)
            log_p[open_rows] += law.gather(1, code)[:, 0]
            may = self._may_be_literal(parts, slots, code[:, 0])
            law, _ = cut.log_law(self._net.literal_logits(states, code[:, 0]), may)
            literal = torch.multinomial(law.exp(), 1, generator=random)
            log_p[open_rows] += law.gather(1, literal)[:, 0]
            for row, step in zip(open_rows.tolist(), zip(code[:, 0].tolist(), literal[:, 0].tolist(), strict=True), strict=True):
                written[row].append(step)
            on = code[:, 0] != end
            parts, slots = (parts + 1 + (literal[:, 0] > 0))[on], slots + 1
            open_rows, codes, literals, memory = open_rows[on], code[on], literal[on], memory[:, on].contiguous()
        templates = [self._alphabet.template(steps) for steps in written]
        texts = ("".join(p if isinstance(p, str) else f"<{p.code}>" for p in template.parts) for template in templates)
        return [
            Sample(text, template=template, log_prob=p)
            for text, template, p in zip(texts, templates, log_p.tolist(), strict=True)
        ]

    @torch.no_grad()
    def log_score(self, templates, temperature=1.0, top_p=1.0, length=None):
        """The log-probability of templates, under the options of `sample`.

        Args:
            templates: list of `Template` whose slots have codes, or of what `sample` returned.
            temperature: float above 0.
            top_p: float in (0, 1].
            length: int or None.

        Returns:
            float64 (n,), nats; -inf for what `sample` cannot write: other codes or literals, too many parts, no part.

        Raises:
            NotFittedError: before `fit`.
            TypeError: not a list of `Template`.
            ValueError: a slot without a code, or an option out of range.
        """
        cut = self._checked(temperature, top_p, length)
        exact = [self._alphabet.exact(template.parts) for template in check_templates(templates, "TemplatePrior.log_score")]
        return self._score(exact, cut, length)

    def perplexity(self, templates):
        """How many choices a slot is worth: exp(-log p of all symbols / number of slots and ends), literals included.

        Templates are simplified as by `fit` (`simplify` says how many that concerns); what is left out or cut off does not count.

        Raises:
            NotFittedError: before `fit`.
            TypeError: not a list of `Template`.
            ValueError: a slot without a code, or no template can be written.
        """
        steps, _ = self.simplify(templates)
        if not steps:
            raise ValueError(f"None of {len(templates)} templates can be written with the symbols that this prior was fitted on.")
        return math.exp(-self._score(steps, Cut(), None).sum() / sum(map(len, steps)))

    def simplify(self, templates):
        """Templates as `fit` sees them, with rare literals replaced and the long ones cut.

        Returns:
            list of steps, (place of the code, place of the literal before it), the last one the end, except in a template that
            was cut; places count `codes_`, then the end, and ("", *literals_). And a report as `report_`.
        """
        self._fitted()
        return _simplified(self._alphabet, check_templates(templates, "TemplatePrior.simplify"))

    def _score(self, steps, cut, length):
        out = np.full(len(steps), -math.inf)
        rows = sorted((i for i, found in enumerate(steps) if found), key=lambda i: len(steps[i]))
        for at in range(0, len(rows), BLOCK):
            block = rows[at : at + BLOCK]
            codes, literals, there = padded(steps, block)
            states, _ = self._net(*self._net.shifted(codes, literals))
            slots = torch.arange(codes.shape[1]).expand_as(codes)
            parts = (slots + ((literals > 0) & there).cumsum(1) - (literals > 0).long())[there]
            states, slots, codes, literals = states[there], slots[there], codes[there], literals[there]
            law, _ = cut.log_law(self._net.code_head(states), self._may_be_code(parts, slots, length))
            log_p = law.gather(1, codes[:, None])[:, 0]
            law, _ = cut.log_law(self._net.literal_logits(states, codes), self._may_be_literal(parts, slots, codes))
            log_p += law.gather(1, literals[:, None])[:, 0]
            total = torch.zeros(there.shape, dtype=torch.float64)
            total[there] = log_p
            out[block] = total.sum(1).numpy()
        return out

    def _may_be_code(self, parts, slots, length):
        """Bool (n, k + 1): what may come after `parts` parts of which `slots` are slots."""
        may = torch.ones((len(parts), self._alphabet.end + 1), dtype=torch.bool)
        slots = torch.as_tensor(slots).expand_as(parts)
        may[:, :-1] = ((parts < MAX_PARTS) & (slots < (length or MAX_PARTS)))[:, None]
        # a template that is too long already may end: it has its -inf from an earlier step, and no step may be without choice
        may[:, -1] = (slots >= length if length else (parts > 0) | bool(self.literals_)) | (parts >= MAX_PARTS)
        return may

    def _may_be_literal(self, parts, slots, codes):
        """Bool (n, literals): there is room for a literal, and a template without any slot needs one."""
        may = torch.ones((len(parts), len(self._alphabet.literals)), dtype=torch.bool)
        ends = codes == self._alphabet.end
        may[:, 1:] = (parts + 2 - ends.long() <= MAX_PARTS)[:, None]
        may[:, 0] = ~(ends & (parts == 0))
        return may

    def _checked(self, temperature, top_p, length):
        """The `Cut` of options of `sample`, which are in range."""
        self._fitted()
        longest = (MAX_PARTS + 1) // 2  # with a literal before each slot but the first
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or not 1 <= length <= longest):
            raise ValueError(f"length must be a number of slots, 1..{longest}, or None, got {length!r}.")
        return Cut(temperature, top_p=top_p)

    # ---- keeping --------------------------------------------------------------------------------------------------------

    def to_state(self):
        """Config (JSON values) and tensors (dict of arrays, float16) that `from_state` reads.

        Raises:
            NotFittedError: before `fit`.
        """
        self._fitted()
        config = {
            "options": asdict(self.config),
            "codes": list(self.codes_),
            "literals": list(self.literals_),
            "report": dict(self.report_),
            "history": list(self.history_),
        }
        return config, {name: tensor.numpy().astype(np.float16) for name, tensor in self._net.state_dict().items()}

    @classmethod
    def from_state(cls, config, tensors):
        """The `TemplatePrior` that `to_state` described; KeyError, TypeError, ValueError or RuntimeError for what is none."""
        prior = cls(PriorConfig(**config["options"]))
        alphabet = Alphabet(config["codes"], ("", *config["literals"]))
        net = Network(len(alphabet.codes), len(alphabet.literals), prior.config.width)
        net.load_state_dict({name: torch.from_numpy(array) for name, array in from_half(tensors).items()})
        return prior._restore(net, alphabet, dict(config["report"]), list(config["history"]))


def _simplified(alphabet, templates):
    """The steps of templates, and a report of what was replaced, cut and left out."""
    steps, changed, left_out, rare = [], Counter(), Counter(), Counter()
    for template in templates:
        found, changes = alphabet.simplest(template, MAX_PARTS)
        if found is None:
            left_out.update(changes)
            continue
        steps.append(found)
        changed.update(changes)
        if "replaced" in changes:
            rare.update(part for part in template.parts if isinstance(part, str) and part not in alphabet.literals)
    return steps, {
        "templates": len(templates),
        "used": len(steps),
        "replaced": changed["replaced"],
        "replaced_literals": len(rare),
        "cut": changed["cut"],
        "left_out": dict(left_out),
        "examples": {text: alphabet.nearest(text) for text, _ in rare.most_common(10)},
    }
