"""Keeping a learned language: one folder of JSON and safetensors, and the one that comes with the package."""

from dataclasses import replace
from pathlib import Path

from workbench import artifacts
from workbench.language.codebook import Codebook
from workbench.language.dsl.config import Code, DSLConfig
from workbench.language.dsl.learning import Fillers, TemplateCount
from workbench.language.dsl.ranking import Ranking
from workbench.language.ngram import KneserNey
from workbench.language.prior import TemplatePrior
from workbench.language.units import Units
from workbench.language.writer import Writer
from workbench.models import Encoder, load_encoder
from workbench.values import ArtifactError

BUILT_IN = Path(__file__).parents[2] / "world" / "dsl"  # made by tools/world_dsl.py
_KIND = "deep-dsl"
_WRITING = {"writer": Writer, "prior": TemplatePrior, "ngram": KneserNey}  # the parts of the writing half


class Keeping:
    """How `DeepDSL` is saved and loaded."""

    def save(self, folder):
        """Write the language to a folder: config.json and safetensors. The encoder is named, not stored.

        Raises:
            ArtifactError: the folder holds something else, or the disk is full.
        """
        config, tensors = self._codebook.to_state()
        writing, written = {}, {}
        if self.writer_ is not None:
            for name in _WRITING:
                writing[name], arrays = getattr(self, f"{name}_").to_state()
                written.update({f"{name}.{key}": tensor for key, tensor in arrays.items()})
            writing["ranking"] = self.ranking_.to_config()
        artifacts.save(
            folder,
            _KIND,
            {
                "writing": writing,
                "options": {"layer": self.config.layer, "sample": self.config.sample},
                "encoder": {"name": self.encoder.name, "fingerprint": self.encoder.fingerprint},
                "units": self._units.to_config(),
                "codebook": config,
                "codes": [list(code) for code in self.codes],
                "templates": [list(template) for template in self.templates],
                "segments": [list(template) for template in self.segments],
                "fillers": list(self.fillers.texts),
                "stats": self.stats,
            },
            {
                **{f"codebook.{name}": tensor for name, tensor in tensors.items()},
                "fillers.codes": self.fillers.codes,
                "fillers.counts": self.fillers.counts,
                "fillers.vectors": self.fillers.vectors,
                "transitions": self.transitions,
                **written,
            },
        )

    @classmethod
    def load(cls, folder, encoder=None):
        """Read a language that `save` wrote.

        Args:
            folder: str or Path; "world" is the DSL that comes with the package, learned from the built-in grammar.
            encoder: name or `Encoder`; None is the one it was learned with.

        Raises:
            ArtifactError: no such folder, damaged, of a newer format, or the encoder is not the one it was learned with.
        """
        if folder == "world" and not Path(folder).is_dir():
            folder = BUILT_IN
        config, tensors = artifacts.load(folder, _KIND)
        try:
            return cls._restored(folder, config, tensors, encoder)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as err:
            raise ArtifactError(f"{folder} is damaged: its config.json holds no whole language ({err!r}). Save again.") from err

    @classmethod
    def _restored(cls, folder, config, tensors, encoder):
        if not isinstance(encoder, Encoder):
            encoder = load_encoder(encoder or config["encoder"]["name"], layer=config["options"]["layer"])
        if encoder.fingerprint != config["encoder"]["fingerprint"]:
            raise ArtifactError(
                f"{folder} was learned with another encoder than {encoder.name!r}: its codes would mean nothing. "
                f"Load it with encoder={config['encoder']['name']!r}, layer {config['options']['layer']}."
            )
        book = {name.removeprefix("codebook."): t for name, t in tensors.items() if name.startswith("codebook.")}
        codebook = Codebook.from_state(config["codebook"], book)
        units = Units.from_config(config["units"])
        options = DSLConfig(**config["options"], units=units.config, codebook=codebook.config, writer=None)
        dsl = cls(options, encoder, units, codebook)
        dsl.codes = tuple(
            Code(i, name, count, usage, tuple(map(tuple, fillers)), literal)
            for i, name, count, usage, fillers, literal in config["codes"]
        )
        dsl.templates, dsl.segments = (
            tuple(TemplateCount(s, n, tuple(examples)) for s, n, examples in config[key]) for key in ("templates", "segments")
        )
        dsl.fillers = Fillers(tuple(config["fillers"]), *(tensors[f"fillers.{name}"] for name in ("codes", "counts", "vectors")))
        dsl.transitions, dsl.stats = tensors["transitions"], config["stats"]
        for name, cls_ in _WRITING.items() if config.get("writing") else ():
            part = {key.removeprefix(f"{name}."): t for key, t in tensors.items() if key.startswith(f"{name}.")}
            setattr(dsl, f"{name}_", cls_.from_state(config["writing"][name], part))
        if dsl.writer_ is not None:
            dsl.config = replace(dsl.config, writer=dsl.writer_.config, prior=dsl.prior_.config, ngram=dsl.ngram_.config)
            if "ranking" in config["writing"]:  # else saved before weights were learned
                dsl.ranking_ = Ranking.from_config(config["writing"]["ranking"])
        return dsl
