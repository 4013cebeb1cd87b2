"""What is saved and loaded again: no array of another type or shape, no number that is not finite, under a valid checksum."""

import json
from pathlib import Path

import numpy as np
import pytest

from workbench import artifacts
from workbench.language.dsl import DeepDSL, saving
from workbench.models import aesthetic, checker
from workbench.values import ArtifactError

CHANGES = {
    "NaN": lambda a: np.full_like(a, np.nan) if a.dtype.kind == "f" else None,
    "infinity": lambda a: np.full_like(a, np.inf) if a.dtype.kind == "f" else None,
    "int8": lambda a: a.astype("int8"),
    "float64": lambda a: a.astype("float64"),
    "an axis more": lambda a: a[None],
    "a row less": lambda a: a[:-1] if a.ndim and len(a) > 1 else None,
    "a column less": lambda a: a[..., :-1] if a.ndim > 1 and a.shape[-1] > 1 else None,
    "missing": lambda a: "missing",
}


def kinds():
    """For each kind of which the package holds a save: name -> (from_state, config, tensors)."""
    config, tensors = artifacts.load(saving.BUILT_IN, saving.KIND)
    out = {}
    for name, cls in saving._parts().items():
        if name not in config["parts"]:  # it has no pretrained decoder
            continue
        arrays = {key.removeprefix(f"{name}."): array for key, array in tensors.items() if key.startswith(f"{name}.")}
        out[name] = cls.from_state, config["parts"][name], arrays
    for module, cls in ((aesthetic, aesthetic.Aesthetic), (checker, checker.Checker)):
        out[cls.kind] = cls.from_state, *artifacts.load(module.FOLDER, cls.kind)
    rest = {key: array for key, array in tensors.items() if key.startswith("fillers.") or key == "transitions"}
    book = out["codebook"][0](*out["codebook"][1:])
    out["language"] = lambda c, t: saving._check(c, t, len(book.vectors_), book), {"fillers": config["fillers"]}, rest
    return out


KINDS = kinds()


def refused(monkeypatch, kind, change, name):
    """Whether `restored` refuses a save of this kind in which this tensor was changed; None if the change cannot be made."""
    from_state, config, tensors = KINDS[kind]
    made = CHANGES[change](tensors[name])
    if made is None:
        return None
    damaged = {key: array for key, array in tensors.items() if key != name} | ({} if isinstance(made, str) else {name: made})
    monkeypatch.setattr(artifacts, "load", lambda *_: (config, damaged))
    monkeypatch.setattr(artifacts, "read_json", lambda path: {"workbench": "0.0"})
    try:
        artifacts.restored(from_state, "folder", kind)
    except ArtifactError as err:
        return "NaN or infinity" in str(err) if change in ("NaN", "infinity") else True
    return False


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", [kind for kind, (_, _, tensors) in KINDS.items() if tensors])
def test_a_tensor_of_another_type_or_shape_is_refused(monkeypatch, kind, change):
    names = sorted(KINDS[kind][2])
    for name in names if len(names) < 13 else names[:: len(names) // 4]:
        assert refused(monkeypatch, kind, change, name) in (True, None), name


def test_what_was_not_changed_is_loaded():
    for from_state, config, tensors in KINDS.values():
        from_state(config, tensors)


def test_a_save_with_nan_names_the_tensor(tmp_path):
    config, tensors = artifacts.load(aesthetic.FOLDER, aesthetic.Aesthetic.kind)
    artifacts.save(tmp_path / "head", aesthetic.Aesthetic.kind, config, tensors | {"bias": np.array(np.nan, "float32")})
    with pytest.raises(ArtifactError, match="bias holds NaN or infinity"):
        aesthetic.Aesthetic.load(tmp_path / "head")


# ---- the encoder of a language of somebody else ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["somebody/encoder", "bert-base-uncased", "../../x", "C:\\x", "a b", "", "https://x.example/y"])
def test_a_language_that_names_an_encoder_asks_no_network(tmp_path, monkeypatch, name):
    config, tensors = artifacts.load(saving.BUILT_IN, saving.KIND)
    config["encoder"]["name"] = name
    artifacts.save(tmp_path / "dsl", saving.KIND, config, tensors)

    def asked(*_, **__):
        raise AssertionError("the name must not be asked for")

    monkeypatch.setattr("workbench.models.load_encoder", asked)
    with pytest.raises(ArtifactError, match=r"not on this machine.* DeepDSL.load\(folder, encoder="):
        DeepDSL.load(tmp_path / "dsl")


def test_an_encoder_in_the_cache_of_the_hub_is_taken_from_there(tmp_path, monkeypatch, minilm):
    snapshot = Path(minilm.source)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda name, file: str(snapshot / file))
    config, tensors = artifacts.load(saving.BUILT_IN, saving.KIND)
    config["encoder"]["name"] = "somebody/minilm"
    artifacts.save(tmp_path / "dsl", saving.KIND, config, tensors)
    monkeypatch.setattr("workbench.models.load_encoder", lambda name, layer: minilm if Path(name) == snapshot else None)
    assert DeepDSL.load(tmp_path / "dsl").learned.encoder.name == "somebody/minilm"


@pytest.mark.parametrize("value", [0, -5, "2", True, 2.0, None])
def test_a_format_that_no_version_wrote_is_refused_in_words(tmp_path, value):
    artifacts.save(tmp_path / "x", "toy", {}, {})
    path = tmp_path / "x" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": value}))
    with pytest.raises(ArtifactError, match="was not written by the workbench"):
        artifacts.load(tmp_path / "x", "toy")
