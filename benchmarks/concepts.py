"""New words for the built-in pipeline, and pictures that guide it: what is learned, what is kept, and the rivals.

    python benchmarks/concepts.py [--parts words weights forgetting two guidance size] [--seeds 3] [--out FILE]
    python benchmarks/concepts.py --quick      # one seed of the main figures; the last line is JSON

A judge made for the new values (`world.judge`) reads what is drawn, 96 pictures a figure, 10 steps, prompts never learned from.
"shown": the new value is there; "context": all else that the prompt says is there too, on average over the attributes; "old":
all four attributes of old captions are right. Seconds are CPU seconds of this process.
"""

import argparse
import itertools
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch

from workbench import concepts, models, picture_guidance, rank, world
from workbench.control.picture_guidance import GuidanceConfig, Guide
from workbench.models.pipeline import Pipeline
from workbench.world import newcomers, scenes

N, STEPS = 96, 10
OLD = {"color": scenes.COLORS, "object": scenes.OBJECTS, "style": scenes.STYLES}
PARTS = ("words", "weights", "forgetting", "two", "guidance", "size")
KEPT = [scenes.caption(scene._replace(artist=None), "sentence", i) for i, scene in enumerate(scenes.scenes(96, 4242))]


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, help="file for the tables")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench()
    if args.quick:
        print(json.dumps({name: round(value, 3) for name, value in quick(bench).items()}))
        return
    lines = []
    for part in args.parts:
        for line in {
            "words": words,
            "weights": weights,
            "forgetting": forgetting,
            "two": two,
            "guidance": guidance,
            "size": size,
        }[part](bench, args.seeds):
            print(line, flush=True)
            lines.append(line)
    if args.out:
        args.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Bench:
    """The pipeline, its CLIP, and the judge of old and new values."""

    def __init__(self):
        self.pipeline = models.load_pipeline("world", device="cpu")
        self.clip = models.load_clip("world", device="cpu")
        self.judge = world.judge()

    def learn(self, values, n, seed, how="word", kept=(), **options):
        """A concept of new values from n pictures, and the CPU seconds."""
        values = [values] if isinstance(values, str) else list(values)
        shown = [newcomers.examples(n, value, seed=100 + seed) for value in values]
        pictures, captions = (list(itertools.chain(*part)) for part in zip(*shown, strict=True))
        return self.fit(pictures, captions, values, seed, how, kept, **options)

    def fit(self, pictures, captions, values, seed, how="word", kept=(), **options):
        """A concept of pictures and captions, and the CPU seconds."""
        begin = time.process_time()
        config = concepts.ConceptConfig(how=how, seed=seed, **options)
        starts = {f"<{value}>": OLD[newcomers.KINDS[value]] for value in values}
        found = concepts.learn(self.pipeline, pictures, captions, config, starts=starts, kept=kept, progress=False)
        return found, time.process_time() - begin

    def shown(self, pipeline, values, seed, say=None):
        """(share of pictures that show all new values, share of the other attributes that are right)."""
        values = [values] if isinstance(values, str) else list(values)
        truth = [scene._replace(artist=None) for scene in newcomers.sample(N, values, 10**6 + seed, "train")]
        prompts = [newcomers.caption(scene, i) for i, scene in enumerate(truth)]
        for value in values:
            prompts = [prompt.replace(f"<{value}>", say or f"<{value}>") for prompt in prompts]
        readings = self.judge.read(pipeline.draw(prompts, steps=STEPS, seed=10**7 + 1000 * seed, batch=48))
        new = {newcomers.KINDS[value] for value in values}
        right = {k: [getattr(a, k) == getattr(b, k) for a, b in zip(readings, truth, strict=True)] for k in readings[0]._fields}
        return np.mean(np.all([right[k] for k in new], 0)), np.mean([right[k] for k in right if k not in new])

    def old(self, pipeline, seed=0):
        """Share of old captions of which all four attributes are right."""
        truth = [scene._replace(artist=None) for scene in scenes.scenes(N, 31_337 + seed)]
        prompts = [scenes.caption(scene, "sentence", i) for i, scene in enumerate(truth)]
        return self.judge.accuracy(pipeline.draw(prompts, steps=STEPS, seed=777 + 1000 * seed, batch=48), truth)["all"]


def quick(bench):
    """The main figures of one seed: dict of str -> float."""
    out, context = {}, []
    learned = {value: bench.learn(value, 5, 0)[0] for value in ("lava", "black")}
    for value, found in learned.items():
        out[f"{value}_word"], kept = bench.shown(found.on(bench.pipeline), value, 0)
        context.append(kept)
    out["context_kept"] = float(np.mean(context))
    arrow = bench.learn("arrow", 20, 0, "attention", KEPT)[0]
    out["arrow_attention20"] = bench.shown(arrow.on(bench.pipeline), "arrow", 0)[0]
    out["old_captions"] = bench.old(arrow.on(bench.pipeline))
    out["arrow_all20"] = bench.shown(bench.learn("arrow", 20, 0, "all", KEPT)[0].on(bench.pipeline), "arrow", 0)[0]
    both = concepts.merge(bench.pipeline, [learned["lava"], arrow])
    out["two_concepts"] = bench.shown(both.on(bench.pipeline), ("lava", "arrow"), 0)[0]
    out["style_guidance"], out["style_guidance_object"], _ = guided(bench, scenes.STYLES, 0, n=48)
    return out


def words(bench, seeds):
    """Lines of the table of words alone."""
    yield "| new value | best old word | best two | random vector | word, 5 pictures | context | CPU s |"
    yield "| --- " * 7 + "|"
    for value in newcomers.KINDS:
        one, two_words = best_old(bench, value)
        rows = []
        for seed in range(seeds):
            found, took = bench.learn(value, 5, seed)
            share, context = bench.shown(found.on(bench.pipeline), value, seed)
            chance = bench.shown(by_chance(found, seed).on(bench.pipeline), value, seed)[0]
            plain = [bench.shown(bench.pipeline, value, seed, say)[0] for say in (one, two_words)]
            rows.append((*plain, chance, share, context, took))
        cells = " | ".join(
            [*(spread(column) for column in list(zip(*rows, strict=True))[:5]), f"{np.mean([r[5] for r in rows]):.0f}"]
        )
        yield f"| {value} | {one} {cells.replace(' | ', f' | {two_words} ', 1)} |"


def best_old(bench, value):
    """The old word, and the two old words, that draw a new value most often, on other prompts than those of the figures."""
    options = OLD[newcomers.KINDS[value]]
    share = {}
    for say in (*options, *(f"{a} {b}" for a, b in itertools.combinations(options, 2))):
        truth = [scene._replace(artist=None) for scene in newcomers.sample(12, value, 5 * 10**6, "train")]
        prompts = [newcomers.caption(scene, i).replace(f"<{value}>", say) for i, scene in enumerate(truth)]
        share[say] = bench.judge.accuracy(bench.pipeline.draw(prompts, seed=1, batch=48), truth)[newcomers.KINDS[value]]
    one = max(options, key=share.get)
    return one, max((say for say in share if " " in say), key=share.get)


def by_chance(found, seed):
    """The same word with a random vector of the same length."""
    random = np.random.default_rng(seed)
    made = {}
    for word, rows in found.words.items():
        other = random.normal(size=rows.shape).astype(np.float32)
        made[word] = other * (np.linalg.norm(rows) / np.linalg.norm(other))
    return concepts.Concept(made, found.weights, found.config, found.sha256)


def weights(bench, seeds):
    """Lines of the table of shapes: word, attention, whole UNet."""
    yield f"| new shape | learned | pictures | shown | context | old captions (before: {bench.old(bench.pipeline):.2f}) | CPU s |"
    yield "| --- " * 7 + "|"
    for value, (how, n, kept) in itertools.product(
        newcomers.SHAPES,
        (("word", 20, ()), ("attention", 5, KEPT), ("attention", 20, KEPT), ("attention", 20, ()), ("all", 20, KEPT)),
    ):
        rows = []
        for seed in range(seeds):
            found, took = bench.learn(value, n, seed, how, kept)
            known = found.on(bench.pipeline)
            rows.append((*bench.shown(known, value, seed), bench.old(known, seed), took))
        cells = " | ".join(
            [*(spread(column) for column in list(zip(*rows, strict=True))[:3]), f"{np.mean([r[3] for r in rows]):.0f}"]
        )
        yield f"| {value} | {how}{', nothing kept' if how != 'word' and not kept else ''} | {n} | {cells} |"


def forgetting(bench, seeds):
    """Lines of the table of longer trainings, with old captions and without."""
    yield "| arrow, attention, 20 pictures | 150 steps | 450 | 1,350 |"
    yield "| --- " * 4 + "|"
    for name, kept, how in (
        ("nothing kept", (), "attention"),
        ("96 old captions kept", KEPT, "attention"),
        ("whole UNet, nothing kept", (), "all"),
    ):
        cells = []
        for steps in (150, 450, 1350):
            known = bench.learn("arrow", 20, 0, how, kept, steps=steps)[0].on(bench.pipeline)
            cells.append(f"shown {bench.shown(known, 'arrow', 0)[0]:.2f}, old {bench.old(known):.2f}")
        yield f"| {name} | {' | '.join(cells)} |"


def two(bench, seeds):
    """Lines of the table of two concepts in one picture: lava and arrow."""
    yield "| way | both in one picture | lava alone | arrow alone | old captions | CPU s |"
    yield "| --- " * 6 + "|"
    pair = ("lava", "arrow")
    rows = {}
    for seed in range(seeds):
        for way, (found, took) in pairs(bench, pair, seed):
            known = found.on(bench.pipeline)
            row = (
                bench.shown(known, pair, seed)[0],
                *(bench.shown(known, value, seed)[0] for value in pair),
                bench.old(known, seed),
            )
            rows.setdefault(way, []).append((*row, took))
    for way, found in rows.items():
        cells = " | ".join(
            [*(spread(column) for column in list(zip(*found, strict=True))[:4]), f"{np.mean([r[4] for r in found]):.0f}"]
        )
        yield f"| {way} | {cells} |"


def pairs(bench, pair, seed):
    """Ways to have two concepts: pairs of a name and (concept, CPU seconds)."""
    word, first = bench.learn(pair[0], 5, seed)
    lava, second = bench.learn(pair[0], 20, seed, "attention", KEPT)
    arrow, third = bench.learn(pair[1], 20, seed, "attention", KEPT)
    prompts = [text for value in pair for text in newcomers.examples(4, value, 7)[1]]
    for how in ("sum", "closed_form", "mean"):
        yield f"attention each, merged by {how}", (merged(bench, [lava, arrow], how, prompts), second + third)
    yield "word for the color, attention for the shape", (merged(bench, [word, arrow], "sum", ()), first + third)
    yield "one training, both words, attention", bench.learn(pair, 20, seed, "attention", KEPT)
    shown = [newcomers.examples(n, values, 100 + seed) for n, values in ((20, pair[1]), (10, pair[0]), (10, pair))]
    pictures, captions = (list(itertools.chain(*part)) for part in zip(*shown, strict=True))
    yield "the same, 10 of 40 pictures show both", bench.fit(pictures, captions, pair, seed, "attention", KEPT)


def merged(bench, found, how, prompts):
    """Two concepts in one."""
    return concepts.merge(bench.pipeline, found, how, prompts=prompts, kept=KEPT)


def guidance(bench, seeds):
    """Lines of the table of guidance beside words."""
    yield "| style of the guide | way | style | object | cosine to the guide | CPU s a picture |"
    yield "| --- " * 6 + "|"
    for name, styles in (("six old ones", scenes.STYLES), ("inkwash, no word", ("inkwash",))):
        ways = [("text alone", {"scale": 0.0}, 6), ("one picture, scale 100", {}, 1), ("six pictures, scale 100", {}, 6)]
        ways += [("six pictures, scale 400", {"scale": 400.0}, 6), ("six pictures, 4 cutouts", {"cutouts": 4}, 6)]
        for way, options, shots in ways:
            rows = []
            for seed in range(seeds):
                begin = time.process_time()
                rows.append((*guided(bench, styles, seed, shots=shots, **options), (time.process_time() - begin) / N))
            yield f"| {name} | {way} | {' | '.join(map(spread, zip(*rows, strict=True)))} |"
        rows = []
        for seed in range(seeds):
            begin = time.process_time()
            rows.append((*guided(bench, styles, seed, said=True), (time.process_time() - begin) / N))
        yield f"| {name} | words that `rank` reads from the guide | {' | '.join(map(spread, zip(*rows, strict=True)))} |"


def guided(bench, styles, seed, n=N, shots=6, said=False, **options):
    """(share with the style of the guide, share with the object of the prompt, cosine to the guide)."""
    hits, cosines = [], []
    for number, style in enumerate(styles):
        m = n // len(styles)
        truth = [scene._replace(artist=None, style=style) for scene in scenes.scenes(m, 50 + 10 * seed + number)]
        shown = [scene._replace(artist=None, style=style) for scene in scenes.scenes(shots, 900 + 10 * seed + number)]
        guide = list(newcomers.render_all(shown, 77 + 10 * seed + number))
        prompts = [f"a {scene.color} {scene.object}" for scene in truth]
        if said:
            words = rank.rank_phrases(bench.clip, guide, scenes.STYLES)[0].phrase
            pictures = bench.pipeline.draw([f"{prompt}, {words}" for prompt in prompts], steps=10, seed=1000 * number + seed)
        else:
            config = GuidanceConfig(seed=1000 * number + seed, **options)
            pictures = picture_guidance.draw(bench.pipeline, bench.clip, prompts, Guide(guide), config)
        hits += [(a.style == b.style, a.object == b.object) for a, b in zip(bench.judge.read(pictures), truth, strict=True)]
        cosines.append(float((bench.clip.image_features(pictures) @ bench.clip.image_features(guide).mean(0)).mean()))
    return (*np.mean(hits, 0).tolist(), float(np.mean(cosines)))


def size(bench, seeds):
    """Lines about a Stable Diffusion 1.5 of full size with random weights: shapes, memory, seconds of two steps."""
    pipeline = stable_diffusion()
    random = np.random.default_rng(0)
    pictures = list(random.integers(0, 256, (2, 512, 512, 3), dtype=np.uint8))
    yield "| Stable Diffusion 1.5, random weights | numbers learned | CPU s a step | peak memory, GB |"
    yield "| --- " * 4 + "|"
    for how in ("word", "attention"):
        config = concepts.ConceptConfig(how=how, steps=2, batch=1)
        begin = time.process_time()
        found = concepts.learn(pipeline, pictures, ["a <thing> ."] * 2, config, progress=False)
        took = (time.process_time() - begin) / 2
        yield f"| {how} | {found.size:,} | {took:.0f} | {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} |"


def stable_diffusion():
    """A pipeline with the layout of Stable Diffusion 1.5, random weights and a few words."""
    import diffusers
    import transformers

    torch.manual_seed(0)
    text = transformers.CLIPTextConfig(
        vocab_size=49_408,
        hidden_size=768,
        intermediate_size=3072,
        num_hidden_layers=12,
        num_attention_heads=12,
        max_position_embeddings=77,
    )
    unet = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    vae = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
        sample_size=512,
        scaling_factor=0.18215,
    )
    scheduler = diffusers.DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, clip_sample=False
    )
    tokenizer = models.load_pipeline("world", device="cpu").pipe.tokenizer
    pipe = diffusers.StableDiffusionPipeline(
        vae, transformers.CLIPTextModel(text), tokenizer, unet, scheduler, None, None, requires_safety_checker=False
    )
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.eval().requires_grad_(False)
    return Pipeline("random", "", pipe)


def spread(values):
    """Mean and standard deviation over seeds."""
    return f"{np.mean(values):.2f}" + (f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
