"""CLIP of the built-in world: 1.4 million parameters, stock `CLIPModel`, trained from nothing on pictures drawn on the way."""

import math
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from tools.world import cards, lessons, portable, runs, vocabulary
from workbench import files, training
from workbench.models import load_clip
from workbench.models.loading import quiet
from workbench.world.render import render_all
from workbench.world.scenes import ATTRIBUTES, VALUES, caption, scenes

STEPS, NAMING, BATCH, RATE = 1600, 600, 128, 1.2e-3  # NAMING: of the steps, the first, for the picture tower alone
MINUTES = 8  # on one core
GATES = {
    "retrieval, picture to text": (">=", 0.97),
    "retrieval, text to picture": (">=", 0.97),
    "swap color": (">=", 0.97),
    "swap object": (">=", 0.97),
    "swap style": (">=", 0.97),
    "swap background": (">=", 0.97),
    "swap object, held-out pairs": (">=", 0.90),
}
_CLASSES = [*(len(VALUES[name]) for name in ATTRIBUTES), len(VALUES["artist"]) + 1]
# Written out: the class of this name is another one in each version, with torchvision and without, and all read this.
_PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "do_convert_rgb": True,
}
_WHAT = """A CLIP of 1.5 million parameters: a picture tower (4 layers, width 128, patches of 8), a text tower (3 layers, width
128, 32 tokens, 428 words) into one space of 128. Stock classes: `CLIPModel`, a fast word-level tokenizer, a CLIP image processor.
Text that is not among its words is read as unknown. `workbench.models.load_clip("world")` loads it."""
HOW = """AdamW, 1.2e-3 with a cosine, batches of 128 pictures drawn on the way. The first 600 steps teach the picture tower to
name attributes; the other 1,000 are contrastive, with that as a side task that is dropped afterwards. Three in ten objects have a
random color without a name, so that a shape does not hang on colors; half of each batch are groups that differ in one attribute;
each picture also has a caption that is nearly right. Two thirds of the captions are keywords in any order, often with surplus
words.

Eight pairs of color and object are never shown and never named. Nor does a caption that names such an object count as wrong for a
picture in that color: for a yellow picture "heart" is never wrong, since no yellow heart could ever contradict it. "Held-out
pairs" below are these pairs."""


class Plan(NamedTuple):
    """What distinguishes one CLIP of the world from another: name, size, gates, words of its card, and what is added to seeds."""

    part: str = "clip"
    width: int = 128
    vision: int = 4  # layers
    text: int = 3  # layers
    gates: dict = GATES  # noqa: RUF012 - read only
    what: str = _WHAT
    how: str = HOW
    apart: int = 0


def build(seed=0, plan=Plan()):  # noqa: B008 - a tuple
    """A new CLIP with random weights and the heads that teach it attributes -> (CLIPModel, torch.nn.Linear)."""
    from transformers import CLIPConfig, CLIPModel

    tokenizer, wide = vocabulary.tokenizer(), plan.width
    shape = {"hidden_size": wide, "intermediate_size": 4 * wide, "num_attention_heads": 4, "projection_dim": wide}
    text = {
        "num_hidden_layers": plan.text,
        "vocab_size": tokenizer.vocab_size,
        "max_position_embeddings": vocabulary.WINDOW,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    vision = {"num_hidden_layers": plan.vision, "image_size": 32, "patch_size": 8}
    torch.manual_seed(seed)
    config = CLIPConfig(text_config=shape | text, vision_config=shape | vision, projection_dim=wide)
    return CLIPModel(config), torch.nn.Linear(wide, sum(_CLASSES))


def train(folder, seed=0, steps=None, progress=True, plan=Plan()):  # noqa: B008 - a tuple
    """Train a CLIP and write it to `folder` as `save_pretrained` does, with its tokenizer, image processor and card.

    The first `NAMING` steps teach attributes to the picture tower alone, the rest is contrastive with that as a side task.

    Source:
        CLIP, arXiv:2103.00020 section 2.3; captions that are nearly right as negatives, NegCLIP, arXiv:2210.01936 section 4.
    """
    folder, steps = Path(folder), STEPS if steps is None else steps
    model, heads = build(seed + plan.apart, plan)
    model.train()
    tokenizer = vocabulary.tokenizer()
    run = {"seed": seed, "steps": steps, "batch": BATCH, "rate": RATE, "words": tokenizer.vocab_size}
    checkpoint = runs.checkpoint(folder, plan.part, **run)

    def loss(step):
        lesson = lessons.lesson(BATCH, seed + plan.apart, step)
        return _loss(model, heads, tokenizer, lesson, contrast=step >= steps * NAMING // STEPS)

    @torch.no_grad()
    def bound_scale(step):
        model.logit_scale.clamp_(max=math.log(60))

    modules, optimizer = {"model": model, "heads": heads}, training.adamw(model, heads, weight_decay=0.05, betas=(0.9, 0.98))
    rate = training.cosine(RATE, steps, warmup=60)
    training.train(
        loss,
        modules,
        optimizer,
        steps,
        rate,
        name=plan.part,
        every=20,
        after=bound_scale,
        checkpoint=checkpoint,
        progress=progress,
    )
    save(folder, model, tokenizer, seed, steps, plan)
    checkpoint.remove()


def _loss(model, heads, tokenizer, lesson, contrast):
    pixels = torch.from_numpy(lesson.pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    seen = model.vision_model(pixel_values=pixels).pooler_output
    side = _naming(heads(seen), lesson)
    if not contrast:
        return side
    told = F.normalize(model.text_projection(_told(model, tokenizer, lesson.texts)), dim=-1)
    seen = F.normalize(model.visual_projection(seen), dim=-1)
    logits, n = model.logit_scale.exp() * seen @ told.T, len(seen)
    for_pictures, for_texts = (torch.from_numpy(mask) for mask in lessons.masks(lesson.shown, lesson.stated, lesson.unfair))
    own = torch.arange(n)
    to_text = F.cross_entropy(logits.masked_fill(for_pictures, -1e4), own)
    to_picture = F.cross_entropy(logits[:, :n].masked_fill(for_texts[:, :n], -1e4).T, own)
    return (to_text + to_picture) / 2 + 0.5 * side


def _naming(logits, lesson):
    """Cross-entropy of the attributes; the object, which is hardest to see, counts most."""
    objects, *others = logits.split(_CLASSES, 1)
    shown = torch.from_numpy(lesson.shown).T
    loss = 2 * F.cross_entropy(objects.masked_fill(torch.from_numpy(lesson.unfair), -1e4), shown[0])
    for kind, target in zip(others, shown[1:], strict=True):
        loss = loss + F.cross_entropy(kind, target, ignore_index=lessons.NAMELESS)
    return loss / 6


def _told(model, tokenizer, texts, parts=4):
    """What the text tower makes of texts: (n, width), in parts of like length, since padding costs as much as words do."""
    ids = tokenizer(texts, truncation=True)["input_ids"]
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    size, out = -(-len(ids) // parts), []
    for start in range(0, len(ids), size):
        rows = [ids[i] for i in order[start : start + size]]
        longest = len(rows[-1])
        # the end token is read; the padding after it is not, because the tower looks back only
        batch = torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in rows])
        out.append(model.text_model(input_ids=batch).pooler_output)
    back = torch.tensor(order).argsort()
    return torch.cat(out)[back]


def save(folder, model, tokenizer, seed, steps, plan=Plan()):  # noqa: B008 - a tuple
    """Write a trained model, its tokenizer, image processor and card; then measure what was written."""
    with quiet(), files.replacing_folder(folder) as temporary:
        model.half().save_pretrained(temporary)
        model.float()
        tokenizer.save_pretrained(temporary)
        portable.tokenizer(temporary)
        files.write_json(temporary / "preprocessor_config.json", _PROCESSOR)
        about = {"seed": seed, "steps": steps, "what": plan.what, "how": plan.how, "kind": "a CLIP"}
        cards.write(temporary, plan.part, check(temporary), plan.gates, **about)


def check(folder, seed=0, n=256):
    """Measure a saved CLIP on pictures that no training has drawn.

    Args:
        folder: str or Path of the model, or "world".
        seed: int >= 0, of the pictures.
        n: int, pictures of each test; retrieval is among n captions that all differ.

    Returns:
        dict of str to float, shares in 0..1: how often a picture finds its caption among n and the reverse; how often its
        own caption beats the same with another value of one attribute, over all other values, half of the captions
        sentences and half keywords, on pairs (color, object) of the training and on those held out.
    """
    clip, figures, first = load_clip(str(folder), device="cpu"), {}, 10**9 + 10**6 * seed
    drawn = list(dict.fromkeys(scenes(2 * n, first)))[:n]
    pictures = clip.image_features(render_all(drawn, first))
    texts = clip.text_features([caption(scene, seed=i) for i, scene in enumerate(drawn)])
    near, own = pictures @ texts.T, torch.arange(len(drawn))
    figures["retrieval, picture to text"] = (near.argmax(1) == own).float().mean().item()
    figures["retrieval, text to picture"] = (near.argmax(0) == own).float().mean().item()
    for split, suffix in (("train", ""), ("held_out", ", held-out pairs")):
        drawn = scenes(n, first + 1, split)
        pictures = clip.image_features(render_all(drawn, first + n))
        for name in ATTRIBUTES:
            figures[f"swap {name}{suffix}"] = _swap(clip, drawn, pictures, name)
    return figures


def _swap(clip, drawn, pictures, name):
    """Share of replacements of one attribute that the own caption beats."""
    size = len(VALUES[name])
    texts = []
    for i, scene in enumerate(drawn):
        others = [value for value in VALUES[name] if value != getattr(scene, name)]
        for value in (getattr(scene, name), *others):
            texts.append(caption(scene._replace(**{name: value}), ("sentence", "keywords")[i % 2], i))
    told = clip.text_features(texts).reshape(len(drawn), size, -1)
    near = (told * pictures[:, None]).sum(-1)
    return (near[:, :1] > near[:, 1:]).float().mean().item()
