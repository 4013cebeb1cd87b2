"""Cost: what a fit will take on this machine, measured on a few prompts before the work."""

import tempfile
import time
from dataclasses import replace

import numpy as np

from workbench.language import encode, writer
from workbench.language.dsl.learned import Code
from workbench.language.dsl.reader import template_of
from workbench.language.units import Units

_TRIED, _STEPS = 256, 3  # prompts and steps of training that the cost of a fit is measured on


def cost(prompts, config, encoder):
    """Measure on a few prompts what a fit will cost on this machine. Takes seconds.

    Args:
        prompts: `Corpus`.
        config: `DSLConfig`.
        encoder: `Encoder`.

    Returns:
        (float, float), seconds to encode all prompts, and at most to train the writer (0 without one): the longest stages. What
        is in the cache takes none.
    """
    texts = prompts[:_TRIED]
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        encode.encode(texts[: _TRIED // 8], encoder, folder, progress=False)
        encoding = (time.perf_counter() - begin) * len(prompts) / len(texts[: _TRIED // 8])
    if config.writer is None:
        return encoding, 0.0
    units, rng = Units(config.units).fit(texts, progress=False), np.random.default_rng(0)
    cut, code = [units.split(text) for text in texts], Code(0, "phrase", 0, 0.0, (), False)
    templates = [template_of(text, spans, [0] * len(spans), (code,)) for text, spans in zip(texts, cut, strict=True)]
    tried = writer.Writer(replace(config.writer, steps=_STEPS))
    tried.fit(templates, lambda rows: rng.standard_normal((len(rows), encoder.width), np.float32), 1, progress=False)
    learning = tried.seconds_ / _STEPS * (config.writer.steps or config.writer.most)
    if config.writer.decoder is not None:
        decoder = writer.Decoder(writer.DecoderConfig(config.writer.decoder, _STEPS)).fit(texts, progress=False)
        learning += decoder.seconds_ / _STEPS * (config.writer.decoder_steps or writer.decoder.MOST)
    return encoding, learning
