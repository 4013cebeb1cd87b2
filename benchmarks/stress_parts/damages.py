"""Damages: a random harm to a file that is written and read again has to be named, or the file made again."""

import functools
import random
import shutil
import signal
import warnings
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

from stress_parts.jobs import FEW, LISTS, WEB, digest, fresh, of_folder, of_state
from stress_parts.table import Row
from workbench import models
from workbench.language.dsl import DeepDSL
from workbench.models import loading, sums
from workbench.models.aesthetic import Aesthetic
from workbench.models.checker import Checker
from workbench.values import WorkbenchError

_SECONDS = 60  # for a use


class Case(NamedTuple):
    """Files to harm: `made`, a folder with them; `use`, a function of a copy of it -> a digest; `share` of the tries."""

    name: str
    made: object
    use: object
    share: int = 4
    only: str = "*"  # the files to harm


def damages(world, n, seed, short=False):
    """Yield a `Row` for each kind of file; `n` damages in all."""
    cases = _cases(world, short)
    whole = sum(case.share for case in cases)
    for case in cases:
        yield _harm(world, case, max(1, round(n * case.share / whole)), random.Random(f"{seed} {case.name}"))


def _harm(world, case, n, rng):
    row, top = Row(f"damages: {case.name}"), world.folder / "harmed"

    def ready():
        for one in (top, *world.folder.glob("harmed.damaged-*")):  # checkpoints that were put aside
            shutil.rmtree(one, ignore_errors=True)
        shutil.copytree(case.made, top)

    ready()
    expected = case.use(top)
    for _ in range(n):
        ready()
        note = damage(rng, sorted(p for p in top.rglob(case.only) if p.is_file()))
        row.tried += 1
        try:
            with warnings.catch_warnings(record=True) as said, _alarm():
                warnings.simplefilter("always")
                warnings.filterwarnings("ignore", FEW)
                found = case.use(top)
        except WorkbenchError:
            row.named += 1
        except (Exception, RecursionError) as err:
            row.fail("crashed", f"{note}: {type(err).__name__}: {err}")
        else:
            if found == expected:
                row.rebuilt += 1
            elif any(issubclass(one.category, UserWarning) for one in said):
                row.named += 1
            else:
                row.fail("silent", note)
    return row.done()


@contextmanager
def _alarm():
    def late(number, frame):
        raise TimeoutError(f"not done after {_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damage(rng, files):
    """Harm one of the files, or swap two: what was done, in words."""
    path = rng.choice(files)
    data, kind = (
        bytearray(path.read_bytes()),
        rng.choice(("bit", "bit", "cut", "zeros", "bytes", "longer", "gone", "swap", "empty")),
    )
    if kind == "swap" and len(files) > 1:
        other = rng.choice([one for one in files if one != path])
        path.write_bytes(other.read_bytes())
        other.write_bytes(data)
        return f"{path.name} swapped with {other.name}"
    if kind == "gone":
        path.unlink()
        return f"{path.name} removed"
    at = rng.randrange(len(data)) if data else 0
    if kind == "empty":
        data = b""
    elif kind == "longer" or not data:
        data += rng.randbytes(rng.randint(1, 64))
    elif kind == "cut":
        del data[at:]
    elif kind == "zeros":
        size = min(len(data) - at, rng.choice((1, 16, 512, 4096)))
        data[at : at + size] = bytes(size)
    elif kind == "bytes":
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    else:
        kind = "bit"
        data[at] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{path.name}: {kind} at {at}"


def _cases(world, short):
    """The kinds of files, each made in a folder of its own."""
    top = fresh(world.folder / "kinds")
    dsl, learned = world.dsl, world.dsl.learned
    parts = {name: getattr(learned, name) for name in ("units", "codebook", "writer", "prior", "ngram", "ranking")}
    parts |= {"checker": Checker.load(loading.FOLDER / "checker"), "aesthetic": Aesthetic.load(loading.FOLDER / "aesthetic")}
    dsl.save(top / "dsl")
    for name, part in parts.items():
        part.save(top / name)
    world.fitted(top / "stages", "writes")
    world.encode(top / "shards")
    _stopped(lambda: world.pez(top / "pez", stop=21))
    world.tune(top / "tune", steps=6)
    with mock.patch("workbench.language.writer.writer.batch_loss", _failing(8)):
        _stopped(lambda: world.fitted(top / "training", "writes"))
    world.export(top / "export", world.old)

    def loaded(folder):
        return of_state(_to_state(DeepDSL.load(folder, world.encoder)))

    def read_with(folder):  # a language knows its encoder
        return of_state(_to_state(DeepDSL.load(top / "dsl", models.load_encoder(str(folder), layer=3, device="cpu"))))

    def exported(folder):
        world.export(folder)
        return of_folder(folder / LISTS)

    def part(cls):
        return lambda folder: of_state(cls.load(folder).to_state())

    writes = functools.partial(world.fit, how="writes")
    cases = [Case("saved language", top / "dsl", loaded, 12)]
    cases += [Case(f"saved {name}", top / name, part(type(one))) for name, one in parts.items()]
    cases += [
        Case("stages of a fit", top / "stages", writes, 4),
        Case("shards of features", top / "shards", world.encode, 10),
        Case("checkpoint of pez", top / "pez", world.pez),
        Case("checkpoint of tune", top / "tune", world.tune),
        Case("checkpoint of a writer", top / "training", writes, 2, "fits/*/writer*-part/*"),
        Case("marker of an export", top / "export", exported, 3, ".workbench-export"),
        Case("an export", top / "export", exported, 2, f"{LISTS}/*"),
        Case("folder of an encoder", world.bert, read_with, 3),
    ]
    if not short:
        world.pages(top / "pages", world.old)

        def written(folder):
            world.pages(folder)
            return of_folder(folder / WEB)

        cases.append(Case("marker of a site", top / "pages", written, 1, "deep-dsl-site.json"))
        cases.append(Case("folder of a CLIP", _built_in(world, "clip"), _model(models.load_clip), 3))
        cases.append(Case("folder of a language model", _built_in(world, "lm"), _model(models.load_lm), 3))
        cases.append(Case("folder of a pipeline", _built_in(world, "pipeline"), _model(models.load_pipeline), 1))
    return cases


def _to_state(dsl):
    from workbench.language.dsl import saving

    return saving.to_state(dsl.learned)


def _built_in(world, part):
    """A folder of built-in models that has one part only, and its sums."""
    folder = world.folder / f"built-in-{part}"
    shutil.copytree(loading.FOLDER / part, folder / part)
    sums.write(folder, part)
    return folder


def _model(load):
    """What a model reads and computes with: weights, configurations and tokenizer."""

    def use(folder):
        sums.check.cache_clear()
        with mock.patch.object(loading, "FOLDER", folder):
            model = load(loading.BUILT_IN)
        if hasattr(model, "pipe"):
            parts = model.pipe.components
            nets = [parts[name] for name in ("text_encoder", "unet", "vae")]
            tokenizer, others = parts["tokenizer"], [dict(parts["scheduler"].config)]
        else:
            nets, tokenizer = [model.model], model.tokenizer
            others = [model.processor.to_dict()] if hasattr(model, "processor") else []
        weights = [t.numpy(force=True) for net in nets for _, t in sorted(net.state_dict().items())]
        dicts = [net.config.to_dict() if hasattr(net.config, "to_dict") else dict(net.config) for net in nets]
        configs = [{name: value for name, value in one.items() if name[0] != "_"} for one in dicts]  # _name_or_path
        return digest(configs, others, tokenizer.backend_tokenizer.to_str(), tokenizer.model_max_length, *weights)

    return use


def _stopped(call):
    try:
        call()
    except KeyboardInterrupt:
        return
    raise AssertionError("the work was to be stopped before its end")


def _failing(times):
    """The loss of the writer, with Ctrl-C pressed twice at some step."""
    from workbench.language.writer.writer import batch_loss

    calls = iter(range(times))

    def loss(*args):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return batch_loss(*args)

    return loss
