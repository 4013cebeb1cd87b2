"""A model folder without code: what is in it is looked at before transformers or diffusers are, whatever their versions do."""

import importlib.util
import os
from pathlib import Path

from workbench.files import check_regular, read_json
from workbench.values import ArtifactError, ModelError

_CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib")
# What makes these libraries load code, or a second model, from a folder or a hub id that a config names.
_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines", "custom_generate", "trust_remote_code")
_MOST_FILES, _MOST_BYTES = 10_000, 16 * 2**20  # files of a model; bytes of a config


def check_folder(folder):
    """Refuse a model folder that names code other than that of transformers and diffusers, and a pipeline that holds any.

    A program that lies unused beside a single model stays unused: many published models hold the script that trained them, and
    transformers runs what a config names, nothing else. diffusers finds files of a pipeline by the names of its parts.

    Args:
        folder: str or Path, of any model that these libraries read; links in it are followed.

    Raises:
        ModelError: a config that names code or is damaged, a program file in a pipeline, an adapter, a file that is no plain
            one, or too many files for a model.
    """
    number, pipeline = 0, Path(folder, "model_index.json").exists()
    for here, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(set(folders) - {".git"})
        number += len(names)
        if number > _MOST_FILES:  # or links that lead in a circle
            raise ModelError(f"{folder} holds more than {_MOST_FILES:,} files. Give the folder of one model.")
        for name in sorted(names):
            path = Path(here, name)
            if pipeline and name.lower().endswith(_CODE):
                raise _refused(folder, f"holds the program {path.relative_to(folder)}")
            try:
                check_regular(path)
                if name.lower().endswith(("config.json", "model_index.json")):
                    _check_config(folder, path, read_json(path, _MOST_BYTES))
            except ArtifactError as err:
                raise ModelError(f"The folder {folder} cannot be read as a model: {err}") from err


def _refused(folder, why):
    return ModelError(
        f"The model in {folder} is not loaded: it {why}. Code that comes with a model is never run. If the model does without "
        "it, remove that; otherwise save the model with classes of transformers or diffusers by save_pretrained(folder)."
    )


def _check_config(folder, path, config):
    where = path.relative_to(folder)
    if path.name.lower() == "adapter_config.json":
        raise _refused(folder, f"is an adapter ({where}) of another model, which {where} names")
    for key, value in _items(config):
        if key in _KEYS and value:
            raise _refused(folder, f"names code of its own: {key} in {where}")
        if key == "_class_name" and not (isinstance(value, str) and value.isidentifier()):
            raise _refused(folder, f"names code of its own: {key} is {value!r:.60} in {where}, expected the name of a class")
    if path.name.lower().endswith("model_index.json"):
        if not isinstance(config, dict):
            raise _refused(folder, f"has a {where} that is no JSON object")
        for key, value in config.items():
            if isinstance(value, (list, dict)) and value != [None, None] and not _is_known(value):
                raise _refused(folder, f"names code of its own: {key} is {value!r:.60} in {where}, expected [library, class]")


def _items(config):
    """Pairs (key, value) of a JSON value, at any depth."""
    if isinstance(config, dict):
        yield from config.items()
    for inner in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _items(inner)


def _is_known(part):
    """Whether a part of a pipeline is [library, class] of transformers, diffusers or one of its pipelines."""
    if not (isinstance(part, list) and len(part) == 2 and all(isinstance(one, str) and one.isidentifier() for one in part)):
        return False
    found = importlib.util.find_spec("diffusers")
    inside = found is not None and Path(found.origin).with_name("pipelines").joinpath(part[0], "__init__.py").is_file()
    return part[0] in ("transformers", "diffusers") or inside
