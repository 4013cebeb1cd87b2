"""The work that is disturbed: tiny, through the calls that everybody makes; and results, so that two can be compared."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from tiny_clip import tiny_clip
from tiny_encoder import write_bert
from tiny_lm import tiny_lm

from workbench import artifacts, corpus, encode, guide, pez
from workbench.control.guide import TuneConfig
from workbench.control.proposals import LMProposal
from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.language.prior.config import PriorConfig
from workbench.language.writer import WriterConfig
from workbench.models import load_encoder
from workbench.show import export
from workbench.show.pages import report, site

FEW = ".*prompts are few"  # a warning that is right, but not about what is tried here
MARKS = {".workbench-export"}  # hidden files that belong to a result
LISTS, WEB = "lists", "web"  # folders of an export and of a site


class Result(NamedTuple):
    """`items`: dict of the pieces of a result (prompts, steps, files) to how often each is there; `digest`: of all of it."""

    items: dict
    digest: str


def digest(*values):
    """sha256 of JSON values, arrays and bytes."""
    out = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            out.update(f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        elif isinstance(value, bytes):
            out.update(value)
        else:
            out.update(json.dumps(value, sort_keys=True, default=str).encode())
    return out.hexdigest()


def of_state(saved):
    """Digest of what `to_state` gives, (config, tensors), without the seconds that it took."""
    config, tensors = saved
    plain = json.loads(json.dumps(config, default=str))
    if "stats" in plain:
        plain["stats"] = {k: v for k, v in plain["stats"].items() if k != "seconds"}
    for part in (plain, *plain.get("parts", {}).values()):
        part.pop("seconds", None)
    return digest(plain, *(x for name in sorted(tensors) for x in (name, tensors[name])))


def of_folder(folder):
    """`Result` of the files in a folder, without what is temporary."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and not _hidden(p.relative_to(folder)))
    names = [p.relative_to(folder).as_posix() for p in files]
    return Result(dict.fromkeys(names, 1), digest(*(x for n, p in zip(names, files, strict=True) for x in (n, p.read_bytes()))))


def _hidden(path):
    return any(part.startswith(".") and part not in MARKS for part in path.parts)


def content(path):
    """Digest of a file, of a saved artifact as it loads, or of the files in a folder."""
    if path.is_file():
        return digest(path.read_bytes())
    if (path / "config.json").is_file():
        config, tensors = artifacts.load(path, "deep-dsl")
        return of_state((config, tensors))
    return of_folder(path).digest


def leftovers(folder):
    """Names of the temporary files and folders in a folder; locks are none, they stay by design."""
    found = (path for path in Path(folder).rglob("*") if path.name not in MARKS and not path.name.endswith(".lock"))
    return sorted(p.name for p in found if p.name.startswith(".") or ".part" in p.name or ".damaged" in p.name)


@dataclass
class World:
    """Prompts, models and languages, made once in a folder; every job is a function of the folder that it works in."""

    folder: Path
    prompts: int = 160

    def __post_init__(self):
        self.bert = write_bert(self.folder / "bert")
        self.encoder = load_encoder(self.bert, layer=3, device="cpu")
        self.texts = list(corpus.load("world", n=self.prompts, progress=False))
        self.file = self.folder / "prompts.txt"
        self.file.write_text("\n".join([*self.texts, *self.texts[:20]]), "utf-8")
        reads = DSLConfig(codebook=CodebookConfig(n_codes=8, epochs=2), writer=None)
        tiny = WriterConfig(width=16, layers=1, heads=2, pieces=200, steps=12, batch=256)
        self.config = {"reads": reads, "writes": replace(reads, writer=tiny, prior=PriorConfig(width=8, epochs=1))}
        self.clip, self.lm = tiny_clip(), tiny_lm()
        self.ebm = guide.constrain(LMProposal(self.lm, max_tokens=4), {_fox: 0.5}, n=300)
        self.dsl = self.fitted(self.folder / "fit", "writes")
        self.old = DeepDSL(replace(self.dsl.learned)).rename({code.id: f"old {code.id}" for code in self.dsl.codes})

    def fitted(self, folder, how):
        """A `DeepDSL` of the prompts."""
        return DeepDSL.fit(self.texts, self.config[how], self.encoder, folder=folder, progress=False)

    def fit(self, folder, how):
        """`DeepDSL.fit`, with a writer or without."""
        dsl = self.fitted(folder, how)
        counts = {name: dsl.stats[name] for name in ("prompts", "words", "units")}
        counts["shards"] = len(list(Path(folder).rglob("features/*/*.safetensors")))
        steps = [row["step"] for row in dsl.writer_.history_] if how == "writes" else []
        return Result(counts | _counted(steps), of_state(_state(dsl)))

    def encode(self, folder):
        """`encode.encode`, in several shards."""
        found = encode.encode(self.texts, self.encoder, folder, shard_size=16, progress=False)
        rows = [found[i] for i in range(len(found))]
        items = _counted(f"prompt {i} {digest(row)[:8]}" for i, row in enumerate(rows))
        return Result(items | {"shards": len(list(Path(folder).rglob("[!.]*.safetensors")))}, digest(*rows))

    def pez(self, folder, stop=None):
        """`pez.search`, stopped by Ctrl-C in step `stop`."""
        config = pez.PEZConfig(length=4, steps=40, restarts=2)

        def on_step(step):
            if step.step == stop:
                raise KeyboardInterrupt

        found = pez.search(self.clip, "red castle moon", config, resume=folder, on_step=on_step if stop else None)
        return Result({"steps": len(found.history)}, digest(repr(replace(found, seconds=0))))

    def tune(self, folder, steps=10):
        """`guide.tune`."""
        tuned = guide.tune(self.lm, self.ebm, steps=steps, config=TuneConfig(batch=32, warmup=2), folder=folder, progress=False)
        weights = [tensor.numpy(force=True) for _, tensor in tuned.proposal.parameters()]
        return Result(_counted(row["step"] for row in tuned.history), digest(tuned.history, *weights))

    def export(self, folder, dsl=None):
        """Wildcards, JSON and CSV, and what there is then."""
        self.exported(folder, dsl or self.dsl)
        return of_folder(folder)

    def exported(self, folder, dsl):
        """Wildcards, JSON and CSV."""
        export.write_wildcards(dsl, folder / LISTS)
        export.write_json(dsl, folder / "grammar.json")
        export.write_csv(dsl, folder / "grammar.csv")

    def pages(self, folder, dsl=None):
        """Site and report."""
        dsl = dsl or self.dsl
        site.write(dsl, folder / WEB, self.texts, n=20)
        report.write(dsl, folder / "report.html")
        return of_folder(folder)

    def save(self, folder, dsl=None):
        """`DeepDSL.save`, and what then loads."""
        (dsl or self.dsl).save(folder / "dsl")
        return Result({"dsl": 1}, of_state(_state(DeepDSL.load(folder / "dsl", self.encoder))))

    def load(self, folder):
        """`corpus.load` with its cache in the folder."""
        with mock.patch.dict(os.environ, WORKBENCH_CACHE=str(folder)):
            found = corpus.load(self.file, progress=False)
        return Result(_counted(found), digest(found.rows.tolist(), str(found.report), found.fingerprint))

    def jobs(self, short=False):
        """A dict of name to function of a folder -> `Result`."""
        jobs = {"fit": functools.partial(self.fit, how="reads"), "fit with a writer": functools.partial(self.fit, how="writes")}
        jobs |= {"encode": self.encode, "pez": self.pez, "tune": self.tune, "save": self.save, "export": self.export}
        return jobs | ({} if short else {"site and report": self.pages}) | {"corpus.load": self.load}

    def replaced(self, name):
        """The function that writes the older result which a job replaces, or None if it replaces nothing."""
        found = {"save": self.save, "export": self.export, "site and report": self.pages}.get(name)
        return found and functools.partial(found, dsl=self.old)


def _state(dsl):
    from workbench.language.dsl import saving

    return saving.to_state(dsl.learned)


def _fox(texts):
    return ["fox" in text for text in texts]


def _counted(values):
    return dict(Counter(map(str, values)))


@contextlib.contextmanager
def often():
    """Checkpoints every few steps, since the work is tiny; and no map, which takes the seconds of a site and is no file."""
    with contextlib.ExitStack() as stack:
        for name, value in {
            "workbench.search.loop.SAVE_EVERY": 5,
            "workbench.control.guide.tuning._SAVE_EVERY": 2,
            "workbench.language.writer.writer._SAVE_EVERY": 3,
            "workbench.show.atlas.can_map": lambda vectors: False,
        }.items():
            stack.enter_context(mock.patch(name, value))
        warnings.filterwarnings("ignore", FEW)
        torch.set_num_threads(1)  # a process that forks must have no other threads
        yield


def fresh(folder):
    """An empty folder in the place of what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
