"""Shards made by several processes, here or on the machines of a cluster: Ray Data, an optional package.

Each process loads the encoder once, takes a shard at a time and writes it as `encode` does: under the name of its content, whole
or not at all. So a killed process loses the shard that it was making and no other; Ray starts another process, which makes it.
"""

import importlib.util
import json
import logging
import os

from workbench import progress as bars
from workbench.values import ModelError, WorkbenchError


def spread(texts, encoder, folder, shard_size, workers, progress):
    """Make the shards that are missing.

    Args:
        texts: sequence of n str.
        encoder: `workbench.models.Encoder`, which each process must be able to load from `encoder.source`.
        folder: Path of the encoder's folder; on a cluster a disk that all machines share.
        shard_size: int, prompts of a shard.
        workers: int, processes with one core each.
        progress: bool.

    Returns:
        (int, prompts encoded; list of Path, shards that were damaged and are made again).

    Raises:
        ImportError: Ray is not installed.
        WorkbenchError: Ray does not start.
        ModelError: a process has another encoder.
    """
    ray = import_ray()
    begun = not ray.is_initialized()
    if begun:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": workers, "include_dashboard": False}
        try:
            ray.init(log_to_driver=False, logging_level="ERROR", **here)
        except Exception as err:  # Ray's own are of no other class
            said = " ".join(str(err).split())[:300]
            raise WorkbenchError(f"Ray did not start: {said} Type the command again, or leave --ray out.") from err
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        parts = [{"texts": json.dumps(list(texts[at : at + shard_size]))} for at in range(0, len(texts), shard_size)]
        given = (encoder.source, encoder.layer, encoder.fingerprint, str(folder))
        pool = ray.data.ActorPoolStrategy(size=workers)  # whose processes start again as often as they die
        parts = ray.data.from_items(parts, override_num_blocks=len(parts))
        made = parts.map(_Maker, fn_constructor_args=given, compute=pool, num_cpus=1)
        new, damaged = 0, []
        with bars.bar(total=len(texts), name="encoding", unit="prompts", shown=progress) as bar:
            for row in made.iter_rows():
                new += row["made"]
                damaged += [folder / row["damaged"]] if row["damaged"] else []
                bar.update(row["prompts"])
    finally:
        if begun:
            ray.shutdown()
    return new, damaged


class _Maker:
    """A process with the encoder, which makes one shard after another."""

    def __init__(self, source, layer, fingerprint, folder):
        import torch

        from workbench.models import load_encoder

        torch.set_num_threads(1)
        self.encoder, self.folder = load_encoder(source, layer), folder
        if self.encoder.fingerprint != fingerprint:
            raise ModelError(f"{source} is another encoder for this process than for the one that started it. Give a shared one.")

    def __call__(self, row):
        from pathlib import Path

        from workbench.language.encode import make_shard

        texts = json.loads(row["texts"])
        made, path, fault = make_shard(texts, self.encoder, Path(self.folder))
        return {"prompts": len(texts), "made": len(texts) * made, "damaged": path.name if fault else ""}


def import_ray():
    """The module `ray`, with `ray.data`."""
    try:
        import ray.data
    except ImportError as err:
        raise ImportError("Encoding with several workers needs Ray: pip install 'ray[data]>=2.40'") from err
    return ray


def there():
    """Whether Ray is installed: bool."""
    return importlib.util.find_spec("ray") is not None
