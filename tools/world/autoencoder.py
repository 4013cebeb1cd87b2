"""The autoencoder of the pipeline: pictures of 32 x 32 pixels <-> latents of 8 x 8 x 12.

Its encoder is not learned: space to depth and the main axes of blocks of 4 x 4 pixels, written into the convolutions of an
`AutoencoderTiny`. So latents are fixed from the start, and the decoder learns to add what the axes leave out.
"""

import torch
from torch.nn import functional

from workbench import training
from workbench.models import checker

STEPS, BATCH, RATE = 1500, 32, 2e-3
CHANNELS = 12  # of the latents: with 12 of 48 axes the checker still reads everything


def build(pictures, channels=CHANNELS, width=48):
    """An AutoencoderTiny whose encoder is set and whose decoder is untrained.

    Args:
        pictures: float32 (n, 3, 32, 32) in -1..1, to find the axes of.
        channels: int, axes kept.
        width: int, channels of the decoder.

    Returns:
        diffusers.AutoencoderTiny; latents have mean 0 and mean square 1 over all channels.
    """
    from diffusers import AutoencoderTiny

    model = AutoencoderTiny(
        latent_channels=channels,
        encoder_block_out_channels=(48, 48, 48),
        decoder_block_out_channels=(width,) * 3,
        num_encoder_blocks=(0, 0, 0),
        num_decoder_blocks=(3, 2, 1),
    )
    first, second, third, last = model.encoder.layers
    with torch.no_grad():
        for conv in model.encoder.layers:
            conv.weight.zero_()
        first.bias.zero_()
        for color in range(3):
            first.weight[color, color, 1, 1] = 1
        for conv, before in ((second, 3), (third, 12)):  # of a window of 3 x 3, its lower right 2 x 2 become channels
            for i in range(4 * before):
                conv.weight[i, i // 4, 1 + i % 4 // 2, 1 + i % 2] = 1
        blocks = third(second(first((pictures + 1) / 2))).movedim(1, -1).reshape(-1, 48)
        mean = blocks.mean(0)
        values, axes = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
        values, axes = values.flip(0)[:channels], axes.flip(1)[:, :channels]
        # half-way to white: fine detail weighs more than in pixels, and less than shapes
        scaled = axes / values**0.25
        scaled = scaled / values.sqrt().mean().sqrt()
        last.weight[:, :, 1, 1] = scaled.T
        last.bias.copy_(-mean @ scaled)
        _write_positions(model.decoder)
    return model.requires_grad_(False)


def _write_positions(decoder):
    """Give the decoder its position. Doubling the size copies each pixel, and the copies cannot tell left from right, so
    without this the decoder cannot draw a pattern as fine as a latent, such as the tiles of a mosaic.

    A one that is shifted in from the border in each block sums up to the column; where the sum steps, the left half begins.
    """
    stages = [[]]
    for layer in list(decoder.layers)[2:]:
        if isinstance(layer, torch.nn.Upsample):
            stages.append([])
            continue
        stages[-1].append(layer)
    for axis, back in ((0, (1, 0)), (1, (0, 1))):  # x and y; `back` is where the pixel before lies in a window of 3 x 3
        column, one, old, new = axis, 2 + axis, 4 + axis, 6 + axis
        # In the stream of features: `column` counts up to 1 at the right, `one` is what is shifted in; of the inner channels
        # a and b have moved by one and by two, `same` has not.
        a, b, same = (i + 3 * axis for i in range(3))
        _row(decoder.layers[0], column, (), 1 / 8)
        _row(decoder.layers[0], one, (), 1.0)
        for block in stages[0]:
            first, _, second, _, third = block.conv
            _row(first, a, [(one, back, 1)])
            _row(first, same, [(one, (1, 1), 1)])
            _row(second, a, [(a, (1, 1), 1)])
            _row(second, b, [(a, back, 1)])
            _row(second, same, [(same, (1, 1), 1)])
            _row(third, column, [(a, (1, 1), 1 / 8), (b, (1, 1), 1 / 8), (b, back, 1 / 8)])
            _row(third, one, [(b, back, 1), (same, (1, 1), -1)])
        # `new` is 1 in the left half of what was one pixel, `old` is that of one size before
        for size, (spread, *blocks) in zip((8, 16), stages[1:], strict=True):
            _row(spread, column, [(column, (1, 1), 0.5), (column, back, 0.5)])
            _row(spread, old, [(new, (1, 1), 1)] if size == 16 else ())
            _row(spread, new, [(column, (1, 1), size), (column, back, -size)])
            for block in blocks:
                if hasattr(block, "conv"):
                    for channel in (column, old, new):
                        _row(block.conv[4], channel, ())


def _row(conv, out, taps, bias=0.0):
    """Set one output channel of a convolution: `taps` are (input channel, place in the window, weight)."""
    conv.weight[out] = 0
    for channel, (y, x), weight in taps:
        conv.weight[out, channel, y, x] = weight
    if conv.bias is not None:
        conv.bias[out] = bias


def train_decoder(model, pictures, *, seed=0, steps=STEPS, checkpoint=None, progress=True):
    """Train the decoder of `build` in place, on latents with a little noise, as those of a network have.

    Args:
        model: diffusers.AutoencoderTiny.
        pictures: uint8 array (n, 32, 32, 3).
        seed: int.
        steps: int, updates.
        checkpoint: `artifacts.Checkpoint` or None.
        progress: bool, show a progress bar.
    """
    decoder = model.decoder.requires_grad_(True).to(memory_format=torch.channels_last)

    def loss(step):
        chosen = checker.as_tensor(pictures[torch.randint(len(pictures), (BATCH,)).numpy()])
        with torch.no_grad():
            latents = model.encoder(chosen)
            latents = latents + 0.15 * torch.rand(BATCH, 1, 1, 1) * torch.randn(latents.shape)
        return functional.l1_loss(decoder(latents), chosen)

    modules, optimizer = {"decoder": decoder}, training.adamw(decoder, weight_decay=1e-3)
    rate = training.cosine(RATE, steps, warmup=150)
    training.train(loss, modules, optimizer, steps, rate, name="decoder", checkpoint=checkpoint, seed=seed, progress=progress)
    decoder.requires_grad_(False)
