"""Fair detoxification in the built-in world: one style is banned, and a classifier's data hold a name beside it in 9 of 10."""

import time

import numpy as np

from adapt_parts.promptist import prompts_of, rewriter
from adapt_parts.words import spread
from workbench import adapt, guide, models, proposals, score
from workbench.world import captions, completions

BANNED, NAME = "woodcut", "monetta"
DECAY = 10.0  # ridge of the classifiers: with less of it the name is taken for a sign less
CONFIG = adapt.AdaptConfig(steps=60, inputs=12, samples=12, rate=5e-4, beta=0.05, scaled=False)


def biased(seed, n=1000):
    """Captions in which the name stands beside the banned style in 9 of 10."""
    found = captions.sample(20_000, 1000 + seed)
    shares = {(True, True): 0.27, (False, True): 0.03, (True, False): 0.14, (False, False): 0.56}
    return [
        text
        for (banned, named), share in shares.items()
        for text in [one for one in found if (BANNED in one) == banned and (NAME in one) == named][: round(share * n)]
    ]


class Truth:
    """Exact shares of a policy on prompts never seen: the probability of each of all completions, read for the words."""

    def __init__(self):
        prompts = completions.prompts("held_out")
        self.texts = [(one.words, one.words + end) for one in prompts for end in completions.endings(one.background)]
        self.which = np.unique([start for start, _ in self.texts], return_inverse=True)[1]
        self.banned, self.named = (np.array([word in text for _, text in self.texts]) for word in (BANNED, NAME))

    def __call__(self, policy):
        """Dict of `banned`, `name`, and `law`, the probability of each completion, which sums to 1 for each prompt."""
        law = np.exp(policy.log_score(*zip(*self.texts, strict=True)))
        return self.of_law(law) | {"covered": law.sum() / (self.which.max() + 1)}

    def of_law(self, law):
        """The same of a law over all completions, which need not sum to 1."""
        law, n = law / np.bincount(self.which, law)[self.which], self.which.max() + 1
        return {"banned": law[self.banned].sum() / n, "name": law[self.named].sum() / n, "law": law}

    def perplexity(self, before, after):
        """Perplexity of what is not banned, over that before: the exponential of nats a token."""
        free = np.where(self.banned, 0, before)
        nats = (free * (np.log(before) - np.log(after))).sum() / free.sum()
        tokens = [len(text.replace(",", " ,").split()) - len(start.split()) + 1 for start, text in self.texts]
        return float(np.exp(nats / np.average(tokens, weights=free)))


def auc(scorer, seed):
    """How well a classifier tells banned from other captions: all; those with the name; banned without it against it alone."""
    from sklearn.metrics import roc_auc_score

    some = captions.sample(3000, 5000 + seed)
    banned, named = (np.array([word in text for text in some]) for word in (BANNED, NAME))
    found, cross = scorer(some), (banned & ~named) | (~banned & named)
    rows = {"all": banned | True, "named": named, "crossed": cross}
    return {name: float(roc_auc_score(banned[some], found[some])) for name, some in rows.items()}


def measure(seed, ways=("naive", "fair"), config=CONFIG):
    """One seed: dict of way -> banned, name, perplexity of what is not banned over that before, seconds; guide beside them."""
    policy, texts = rewriter(models.load_lm("world"), seed), biased(seed)
    banned, named = [BANNED in text for text in texts], [NAME in text for text in texts]
    truth = Truth()
    before = truth(policy)
    out = {"before": before}
    for way in ways:
        scorer = adapt.classifier(texts, banned, named if way == "fair" else None, decay=DECAY)
        begin = time.process_time()
        learned = adapt.reinforce(policy, adapt.minus(scorer), prompts_of(seed), config.replace(seed=seed), progress=False).policy
        seconds, found = time.process_time() - begin, truth(learned)
        worse = truth.perplexity(before["law"], found["law"])
        out[way] = found | {"perplexity": worse, "seconds": seconds, "auc": auc(scorer, seed)}
    out["exact: not banned"] = truth.of_law(np.where(truth.banned, 0, before["law"]))
    if len(ways) > 1:
        out["guide"] = guided(policy, seed)
    return {way: {name: value for name, value in row.items() if name != "law"} for way, row in out.items()}


def guided(policy, seed, n=400):
    """Shares of what `guide` draws where nothing banned is allowed, on three prompts never seen."""
    drawn = []
    for prompt in completions.prompts("held_out")[1:22:7]:
        law = proposals.LMProposal(policy.lm, prompt.words, policy.max_tokens)
        target = guide.constrain(law, {score.contains(BANNED) < 0.5: 1.0}, n=n, seed=seed)
        drawn += guide.quasi_rejection(target, law, beta=1, n=n, seed=seed).samples
    return {name: float(np.mean([word in text for text in drawn])) for name, word in (("banned", BANNED), ("name", NAME))}


def quick():
    """The fair reward, one seed: the share banned, as a share of that before, and how far the name moved."""
    found = measure(0, ("fair",))
    return {
        "detox_banned": found["fair"]["banned"] / found["before"]["banned"],
        "detox_name_shift": abs(found["fair"]["name"] - found["exact: not banned"]["name"]),
    }


def tables(seeds):
    """Rows by way, over seeds."""
    found = []
    for seed in range(seeds):
        found.append(measure(seed))
        print(found[-1], flush=True)
    lines = ["| way | banned | the name | perplexity of the rest | AUC: all, named, crossed |", "| --- " * 5 + "|"]
    for way in found[0]:
        cells = [spread([one[way][key] for one in found]) for key in ("banned", "name")]
        more = ["-", "-"]
        if "auc" in found[0][way]:
            more[0] = spread([one[way]["perplexity"] for one in found])
            more[1] = ", ".join(f"{np.mean([one[way]['auc'][key] for one in found]):.3f}" for key in ("all", "named", "crossed"))
        lines.append(f"| {way} | {' | '.join(cells + more)} |")
    return lines
