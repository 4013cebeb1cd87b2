"""Phrase ranking and prompts from pictures.

    python benchmarks/ranking.py [--phrases 512] [--rounds 3] [--pictures 64] [--data ../shared/data] [--clip world]

Speed: many phrases behind one prefix against encoding each full text, padded to the window, as CLIP-Interrogator and open_clip
do, and padded to the longest of its batch; the same random text tower of the size of ViT-B/32 (512 wide, 12 layers, 49,408
tokens), in turns, median of the rounds, wall and CPU time; and how far the features differ. The phrases are drawn from the lists
of the data folder, without it from the built-in lexicon; the tokenizer is a BPE of 8,000 pieces learned on them.

Prompts: pictures of the built-in world, drawn from scenes with pairs of color and object that neither the CLIP nor the DSL has
seen, are put into words: by `DeepDSL.describe` with a DSL learned from captions (no writer, codes without labels); by its
templates with random fillers; by a greedy list of fillers without slots, which is how CLIP-Interrogator goes on from its
best phrase. Counted is how often a text names what the picture shows. "All captions" looks for the best of all 1,728 sentences
that the world can say: what this CLIP allows.
"""

import argparse
import itertools
import os
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from workbench.control.scorers import log_prob
from workbench.language.codebook import CodebookConfig
from workbench.language.dsl import DeepDSL, DSLConfig
from workbench.models import CLIP, load_clip, load_lm
from workbench.search.describe import describe
from workbench.search.rank import phrase_features, rank_phrases
from workbench.template import parse
from workbench.values import ModelError
from workbench.world import grammar, scenes
from workbench.world.render import render

PREFIX = (
    "a painting of a castle on a hill at sunset by a lake, matte painting, dramatic lighting, highly detailed, "
    "trending on artstation"
)


def phrases(folder, n, seed=0):
    """Phrases of all kinds, drawn from the lists of `folder`, else from the built-in lexicon."""
    files = sorted((folder / "vocab").glob("*.txt"))
    if files:
        lines = {line for file in files for line in file.read_text("utf-8").splitlines() if line}
    else:
        lines = {text for slot in (*grammar.OPEN_SLOTS, "quality", "site") for text in grammar.fillers(slot)}
    lines = sorted(lines)
    return [lines[i] for i in np.random.default_rng(seed).permutation(len(lines))[:n]], lines


def random_clip(texts, pieces=8000):
    """A CLIP with a text tower of the size of ViT-B/32, randomly initialised, and a BPE tokenizer trained on `texts`."""
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    special = ["<|startoftext|>", "<|endoftext|>"]
    trainer = trainers.BpeTrainer(vocab_size=pieces, special_tokens=special, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator([*texts, PREFIX], trainer)
    begin, end = (tokenizer.token_to_id(name) for name in special)
    ends = list(zip(special, (begin, end), strict=True))
    tokenizer.post_processor = processors.TemplateProcessing("<|startoftext|> $A <|endoftext|>", special_tokens=ends)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[1], pad_token=special[1], model_max_length=77
    )
    text = {"vocab_size": 49408, "hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
    text |= {"max_position_embeddings": 77, "bos_token_id": begin, "eos_token_id": end, "pad_token_id": end}
    small = {"image_size": 8, "patch_size": 8, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=small, projection_dim=512)).eval().requires_grad_(False)
    return CLIP("random, size of ViT-B/32", "", model, fast, None, 77, 512)


def full(clip, texts, padding, batch=64):
    """Features of full texts, padded "to the window" as clip-interrogator and open_clip do, or "to the longest"."""
    out = []
    for start in range(0, len(texts), batch):
        how = {"padding": "max_length" if padding == "window" else True, "truncation": True, "max_length": clip.window}
        tokens = clip.tokenizer(texts[start : start + batch], return_tensors="pt", **how)
        with torch.inference_mode():
            found = clip.model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        out.append(found if isinstance(found, torch.Tensor) else found.pooler_output)
    return torch.nn.functional.normalize(torch.cat(out), dim=-1)


def speed(args):
    """Print the table of speed."""
    some, all_ = phrases(args.data, args.phrases)
    clip = random_clip(all_)
    texts = [f"{PREFIX}, {phrase}" for phrase in some]
    ways = {
        "full texts, padded to 77 tokens": lambda: full(clip, texts, "window"),
        "full texts, padded to the longest": lambda: full(clip, texts, "longest"),
        "phrase_features": lambda: phrase_features(clip, some, PREFIX),
    }
    seconds, features = {name: [] for name in ways}, {}
    for _ in range(args.rounds):
        for name, way in ways.items():
            begin = time.perf_counter(), time.process_time()
            features[name] = way()
            seconds[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    lengths = [len(ids) - 2 for ids in clip.tokenizer(some)["input_ids"]]
    print(f"{len(some)} phrases of {np.mean(lengths):.1f} tokens behind {len(clip.tokenizer(PREFIX)['input_ids']) - 2} tokens")
    ours = np.median(seconds["phrase_features"], 0)
    for name, times in seconds.items():
        off = (features[name] - features["full texts, padded to 77 tokens"]).abs().max()
        (wall, cpu), ratio = 1000 * np.median(times, 0) / len(some), np.median(times, 0) / ours
        print(
            f"{name:36s} {wall:7.2f} ms a phrase, {ratio[0]:4.1f} times ours; CPU {cpu:7.2f} ms, {ratio[1]:4.1f} times; "
            f"differs by {off:.1e}"
        )


def learned(n=3000):
    """A DSL of captions, without a writer."""
    drawn, forms = scenes.scenes(n, seed=1, split="train"), ("sentence", "keywords", "prompt")
    captions = sorted({scenes.caption(scene, forms[i % 3], seed=i) for i, scene in enumerate(drawn)})
    return DeepDSL.fit(captions, DSLConfig(writer=None, codebook=CodebookConfig(n_codes=8)), progress=False)


def flat(clip, features, fillers, most=8):
    """Greedy list: the best filler behind what is there, each once, until none helps."""
    text, similarity, left = "", -1.0, list(fillers)
    for _ in range(most):
        best = rank_phrases(clip, features, left, text, top=1)[0]
        if best.similarity <= similarity:
            break
        text, similarity = f"{text}, {best.phrase}" if text else best.phrase, best.similarity
        left.remove(best.phrase)
    return text


def filled_at_random(dsl, rng):
    """One of the common templates with random fillers of its codes."""
    template = parse(dsl.templates[rng.integers(min(16, len(dsl.templates)))].examples[0]).open()
    codes = {code.name: code.id for code in dsl.codes}
    pools = [np.flatnonzero(dsl.fillers.codes == codes[slot.name]) for slot in template.slots]
    return template.fill([dsl.fillers.texts[rng.choice(pool)] for pool in pools]).prompt


def prompts(args):
    """Print the table of prompts."""
    clip, dsl, rng = load_clip(args.clip), learned(), np.random.default_rng(0)
    shown = scenes.scenes(args.pictures, seed=0, split="held_out")
    features = [clip.image_features(render(scene, seed=i)) for i, scene in enumerate(shown)]
    every = [scenes.Scene(*values) for values in itertools.product(*(scenes.VALUES[name] for name in scenes.ATTRIBUTES))]
    sentences = [scenes.caption(scene) for scene in every]
    table = phrase_features(clip, sentences)
    fillers = list(dict.fromkeys(dsl.fillers.texts))
    ways = {
        "random fillers": lambda target: filled_at_random(dsl, rng),
        "flat greedy": lambda target: flat(clip, target, fillers),
        "DeepDSL.describe": lambda target: describe(dsl, target, clip).text,
        "DeepDSL.describe, beam 1": lambda target: describe(dsl, target, clip, beam=1).text,
        "all captions": lambda target: sentences[int((table @ target[0]).argmax())],
        "what is shown": None,
    }
    try:
        fluency = log_prob(load_lm("world"), mean=True)
    except ModelError:
        fluency = None
    print(f"{len(shown)} pictures, {len(fillers)} fillers, codes {', '.join(code.name for code in dsl.codes)}")
    texts = {}
    for name, way in ways.items():
        begin = time.perf_counter()
        texts[name] = [scenes.caption(scene) for scene in shown] if way is None else [way(target) for target in features]
        seconds = (time.perf_counter() - begin) / len(shown)
        said = [scenes.read(text) for text in texts[name]]
        pairs = list(zip(said, shown, strict=True))
        right = np.array([[one[name] == getattr(scene, name) for name in scenes.ATTRIBUTES] for one, scene in pairs])
        found = phrase_features(clip, texts[name])
        similarity = np.mean([float(f @ t[0]) for f, t in zip(found, features, strict=True)])
        shares = ", ".join(f"{a} {share:.2f}" for a, share in zip(scenes.ATTRIBUTES, right.mean(0), strict=True))
        fluent = f", {fluency(texts[name]).mean():.2f} nats a token" if fluency is not None else ""
        print(f"{name:26s} all four {right.all(1).mean():.2f} ({shares}), cosine {similarity:.3f}{fluent}, {seconds:.2f} s each")
    for i in range(6):
        print("\n".join(f"  {name:26s} {some[i]}" for name, some in texts.items()), end="\n\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("WORKBENCH_DATA", "../shared/data"), help="folder of data")
    parser.add_argument("--phrases", type=int, default=512, help="phrases behind the prefix; 0 leaves the speed out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=64, help="pictures to put into words; 0 leaves them out")
    parser.add_argument("--clip", default="world", help="CLIP that sees the pictures")
    given = parser.parse_args()
    if given.phrases:
        speed(given)
    if given.pictures:
        prompts(given)
