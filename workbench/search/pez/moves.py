"""Methods that move vectors: PEZ, projection once or in every step, and Langevin noise (FluentPrompt)."""

import torch

DECAYS, EPSILON = (0.9, 0.999), 1e-8  # AdamW's own defaults


class Moves:
    """Vectors x (n, t, w) of all rows under AdamW; `step` moves some rows and says where they were.

    Args:
        run: `Run`.
    """

    def __init__(self, run):
        self.run, self.made = run, 0
        every = torch.arange(run.searches * run.restarts, device=run.device)
        self.x = run.objective.table[run.random_ids(every)].clone()
        self.mean, self.square = torch.zeros_like(self.x), torch.zeros_like(self.x)
        self.spread = float(run.table.std())

    def step(self, rows, fraction):
        """Move `rows`; `fraction` 0..1 of the way is behind.

        Returns:
            (ids int64 (n, t), similarity float32 (n,)): the tokens before the move and how good they are. Of "project_once"
            the similarity is that of the vectors.
        """
        run, method = self.run, self.run.config.method
        ids = run.project(self.x[rows])
        start = self.x[rows] if method == "project_once" else run.objective.table[ids]
        similarity, gradient = run.gradient(start, rows)
        if method in ("project_every_step", "langevin"):
            self.x[rows] = start
        self._adamw(rows, -gradient)
        if method == "langevin":
            shape = (run.restarts, *self.x.shape[1:])
            noise = run.draw(rows, lambda g: torch.randn(shape, generator=g))
            self.x[rows] += run.config.noise * 0.01**fraction * self.spread * noise
        return ids, similarity

    def _adamw(self, rows, gradient):
        """One step of AdamW (arXiv:1711.05101), with the operations of torch.optim.AdamW in their order."""
        config, (first, second) = self.run.config, DECAYS
        self.made += 1
        all_rows = len(rows) == len(self.x)
        before = self.x if all_rows else self.x[rows]
        mean = self.mean if all_rows else self.mean[rows]
        square = self.square if all_rows else self.square[rows]
        before.mul_(1 - config.learning_rate * config.weight_decay)
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        size = config.learning_rate / (1 - first**self.made)
        root = (square.sqrt() / (1 - second**self.made) ** 0.5).add_(EPSILON)
        before.addcdiv_(mean, root, value=-size)
        if not all_rows:
            self.x[rows], self.mean[rows], self.square[rows] = before, mean, square

    def finish(self, rows):
        """Tokens that were not looked at yet: for "project_once" the result, else None."""
        if self.run.config.method != "project_once":
            return None
        ids = self.run.project(self.x[rows])
        return ids, self.run.score(ids, rows)

    def state(self):
        """Tensors that `restore` takes."""
        return {"x": self.x, "mean": self.mean, "square": self.square, "made": torch.tensor(self.made)}

    def restore(self, tensors):
        """Go on from `state`."""
        self.x, self.mean, self.square = tensors["x"], tensors["mean"], tensors["square"]
        self.made = int(tensors["made"])
