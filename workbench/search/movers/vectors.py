"""Methods that move token vectors: PEZ, projection once or in every step, and Langevin noise (FluentPrompt)."""

import torch

from workbench.search.loop import Mover

LEARNING_RATE, WEIGHT_DECAY = 0.1, 0.1  # of AdamW, those of the PEZ paper
NOISE, FADED = 1.0, 0.01  # of Langevin steps at the start, in units of the spread of the token vectors, and its share at the end


class PEZ(Mover):
    """Vectors are kept, and gradients are taken at the nearest tokens.

    Source:
        Wen et al., arXiv:2302.03668, algorithm 1.
    """

    polish = 0.2
    replaces = False  # whether the vectors become the nearest tokens before each move

    def __init__(self, run):
        super().__init__(run)
        start = run.objective.table[run.random_ids(run.every)]
        # One parameter for each search: AdamW leaves a search alone that has ended, since it gets no gradient.
        self.x = [part.clone() for part in start.split(run.restarts)]
        self.adamw = torch.optim.AdamW(self.x, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)

    def step(self, rows, progress):
        """The tokens before the move and their similarity."""
        x = self._vectors(rows)
        ids = self.run.project(x)
        point = self.run.objective.table[ids] if self.returns_prompts else x
        similarity, gradient = self.run.objective.gradient(point, rows)
        if self.replaces:
            for i, part in zip(self.run.searches_of(rows), point.split(self.run.restarts), strict=True):
                self.x[i].copy_(part)
        self._ascend(rows, gradient)
        return ids, similarity

    def _vectors(self, rows):
        """Vectors (n, t, w) of whole searches."""
        return torch.cat([self.x[i] for i in self.run.searches_of(rows)])

    def _ascend(self, rows, gradient):
        """Move the vectors of whole searches along a gradient (n, t, w)."""
        for i, part in zip(self.run.searches_of(rows), gradient.split(self.run.restarts), strict=True):
            self.x[i].grad = -part
        self.adamw.step()
        self.adamw.zero_grad()

    def state(self):
        """Vectors and moments."""
        moments = self.adamw.state_dict()["state"]
        tensors = {f"adamw.{i}.{name}": tensor for i, of in moments.items() for name, tensor in of.items()}
        return tensors | {"x": torch.stack(self.x)}

    def restore(self, tensors):
        """Go on from `state`."""
        moments = {}
        for key, tensor in tensors.items():
            if key.startswith("adamw."):
                _, i, name = key.split(".")
                moments.setdefault(int(i), {})[name] = tensor
        self.adamw.load_state_dict({"state": moments, "param_groups": self.adamw.state_dict()["param_groups"]})
        for x, saved in zip(self.x, tensors["x"], strict=True):
            x.copy_(saved)


class ProjectOnce(PEZ):
    """Vectors move freely, and become the nearest tokens at the end. The similarity of a step is that of the vectors."""

    returns_prompts = False

    def finish(self):
        """The tokens nearest to the last vectors."""
        ids = self.run.project(torch.cat(self.x))
        return ids, self.run.score(ids, self.run.every)


class ProjectEveryStep(PEZ):
    """Vectors become the nearest tokens in every step."""

    replaces = True


class Langevin(ProjectEveryStep):
    """Projection in every step, and noise that fades out.

    Source:
        FluentPrompt, arXiv:2212.10539.
    """

    def __init__(self, run):
        super().__init__(run)
        self.spread = float(run.table.std())

    def step(self, rows, progress):
        """The tokens before the move and their similarity."""
        found = super().step(rows, progress)
        for i in self.run.searches_of(rows):
            noise = torch.randn(self.x[i].shape, generator=self.run.draws[i]).to(self.x[i].device)
            self.x[i] += NOISE * FADED**progress * self.spread * noise
        return found
