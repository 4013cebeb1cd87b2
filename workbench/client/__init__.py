"""Train prompts on a model that somebody else holds: numpy and HTTP, no torch and no weights.

    there = client.Client("http://127.0.0.1:8000")      # where `deep-dsl serve` answers; or an app of `service.create`
    tuned = there.tune(texts, labels)
    there.predict(tuned.vectors, ["a warm and funny film"], tuned.labels)

`Client.gradient` is one step for those who take it themselves, by `SGD`, `AdamW` or any rule. `multitask` learns a part that all
tasks share and a part for each; the server sees only what `combining` makes of both. It needs httpx: pip install 'httpx>=0.27'
"""

from workbench.client.combining import add, concatenate, features, project
from workbench.client.optimisers import SGD, AdamW
from workbench.client.remote import Client, ClientError
from workbench.client.tuning import Shared, TuneConfig, Tuned, multitask, tune

__all__ = [
    "SGD",
    "AdamW",
    "Client",
    "ClientError",
    "Shared",
    "TuneConfig",
    "Tuned",
    "add",
    "concatenate",
    "features",
    "multitask",
    "project",
    "tune",
]
