"""What all loaders share: built-in folders, errors that say what to do, and checks of the weights."""

import contextlib
import os
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from workbench import files
from workbench.models import sums
from workbench.models.without_code import check_folder
from workbench.values import ModelError

BUILT_IN = "world"
FOLDER = Path(__file__).parents[1] / "world" / "models"
# What from_pretrained of transformers and diffusers raises for a folder or id it cannot use.
# What the libraries raise for files that they cannot read.
FAILURES = (OSError, ValueError, TypeError, LookupError, RuntimeError, ImportError, AttributeError, SafetensorError)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def printable(text):
    """`text` with each half of a broken surrogate pair replaced by `?`: tokenizers refuse those. The length is kept."""
    return text.encode("utf-8", "replace").decode()


@contextlib.contextmanager
def quiet(logging=transformers_logging):
    """Hide warnings (about weights that were left out on purpose) and the progress bar of a second's work.

    Args:
        logging: the module `utils.logging` of transformers or of diffusers.
    """
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def place(name):
    """A hub id as it is, or the folder that a path names, `~` included: str for `from_pretrained`.

    Raises:
        ValueError: no text.
        ModelError: a folder that holds or names code (see `without_code`).
    """
    folder = files.path(name, "The name of a model")
    if os.path.isdir(folder):
        check_folder(folder)
    return name if isinstance(name, str) and not name.startswith("~") else str(folder)


def source(name, kind):
    """Folder or hub id of a model asked for by name.

    Args:
        name: str or Path; `"world"` is the tiny model of this kind that comes with the package, `"world-small"` a second CLIP.
        kind: str, folder of the built-in one: `"clip"`, `"lm"`, `"pipeline"`.

    Returns:
        str for `from_pretrained`.

    Raises:
        ModelError: the built-in model is not in this installation or was changed, or a folder that holds or names code.
    """
    small = FOLDER / f"{kind}_small"
    if str(name) == f"{BUILT_IN}-small" and small.is_dir():
        sums.check(small)
        return str(small)
    if str(name) != BUILT_IN:
        return place(name)
    if not (FOLDER / kind).is_dir():
        raise ModelError(
            f"The built-in {kind} is missing from this installation ({FOLDER / kind}). Install the package again, or train it: "
            "python -m tools.world train"
        )
    sums.check(FOLDER / kind)
    return str(FOLDER / kind)


def not_found(what, name, err, known=f"{BUILT_IN!r} for the tiny built-in one"):
    """`ModelError` for a model that cannot be loaded: `what` it should be, such as "CLIP"; what went wrong; a `known` name."""
    folder, reason = Path(str(name)), " ".join(str(err).split())[:300]
    if not folder.is_dir():
        return ModelError(
            f"There is no folder {str(name)!r}, and no such {what} is reachable on the hub. Give a folder that save_pretrained "
            f"wrote, a hub id, or {known}. ({reason})"
        )
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    pickles = [file for file in files if file.endswith(_PICKLES)]
    if pickles and not any(file.endswith(".safetensors") for file in files):
        return ModelError(
            f"The weights in {folder} are a pickle ({pickles[0]}), which can run code and is not loaded. Save them again with "
            "save_pretrained(folder), which writes safetensors."
        )
    return ModelError(
        f"The folder {folder} holds no {what} that can be read: a file is missing or damaged. It has "
        f"{', '.join(files[:12]) or 'no files'}. Save the model and what it reads with by save_pretrained(folder). ({reason})"
    )


def load_tokenizer(source, name):
    """The fast tokenizer of a model.

    Raises:
        ModelError: it is a slow one, which does not say where in the text a token is.
        ValueError: its file is damaged.
    """
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    except Exception as err:
        if isinstance(err, FAILURES):
            raise
        raise ValueError(f"its tokenizer: {err}") from err  # the library `tokenizers` raises a plain Exception
    if not tokenizer.is_fast:
        raise ModelError(f"{name} has only a slow tokenizer ({type(tokenizer).__name__}). Take a model with a tokenizer.json.")
    return tokenizer


def cached(name):
    """Path, as a str, of the config of a hub id (str) in the cache of the hub on this machine; None if it is not there."""
    import huggingface_hub

    try:
        found = huggingface_hub.try_to_load_from_cache(name, "config.json")
    except ValueError:  # no name that the hub knows
        return None
    return found if isinstance(found, str) else None


def check_complete(name, missing):
    """Raise `ModelError` if weights are `missing`, names of str: they would be random."""
    if missing:
        raise ModelError(f"The weights of {name} are incomplete: {len(missing)} are missing, such as {sorted(missing)[0]}.")


def frozen(model, name, missing=()):
    """`model` in float32 and evaluation mode, without gradients.

    Raises:
        ModelError: weights are `missing`, or not finite.
    """
    check_complete(name, missing)
    for key, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise ModelError(f"The weights of {name} are damaged: {key} holds NaN or infinity. Download or save them again.")
    return model.float().eval().requires_grad_(False)
