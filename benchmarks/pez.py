"""Hard prompts: speed against the released loop with the same tokens in every step, and what is found in the built-in world.

    python benchmarks/pez.py --speed [--authors PATH] [--steps 200] [--restarts 1 8]
    python benchmarks/pez.py --world [--pictures 64] [--methods pez gcg pez+polish ...] [--draw] [--budget 800]

Speed: a text tower of the size of ViT-B/32 (512 wide, 12 blocks, 49,408 tokens, 77 positions) with random weights. The released
loop is written out below in our own words, with the same arithmetic; `--authors` takes a checkout of
https://github.com/YuxinWenRick/hard-prompts-made-easy instead, which needs sentence-transformers. Both take turns, step by step,
so that other work on the machine slows both; ids are compared in every step. They are equal until rounding decides between two
tokens that are equally near; from there on the two searches differ.

World: pictures of pairs of colour and object that the world's CLIP was never shown; the words found are read as a caption.
Milliseconds are CPU time. "+polish" is the default of `pez.search`, the plain names are the methods as they were published.
`--seed` draws other pictures; options were chosen on those of seed 5, reported are those of seed 0.
"""

import argparse
import importlib.util
import statistics
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import PIL.Image
import torch
from tokenizers import Tokenizer, models, processors
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from workbench import pez
from workbench.control.scorers import log_prob
from workbench.models import CLIP, load_clip, load_lm, load_pipeline

VOCABULARY, LENGTH = 49_408, 16
ATTRIBUTES = ("color", "object", "background", "style")
GATES = {"color": 0.92, "object": 0.85, "background": 0.85, "style": 0.85, "all four": 0.55}


def large_clip(activation="quick_gelu", seed=0):
    """A CLIP with random weights whose text tower has the size of ViT-B/32."""
    text = dict(vocab_size=VOCABULARY, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=8)
    text |= dict(max_position_embeddings=77, hidden_act=activation, bos_token_id=VOCABULARY - 2, eos_token_id=VOCABULARY - 1)
    vision = dict(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16)
    torch.manual_seed(seed)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)).eval().requires_grad_(False)
    names = {f"t{i}": i for i in range(VOCABULARY - 2)} | {"<begin>": VOCABULARY - 2, "<end>": VOCABULARY - 1}
    tokenizer = Tokenizer(models.WordLevel(names, unk_token="<end>"))
    ends = [("<begin>", VOCABULARY - 2), ("<end>", VOCABULARY - 1)]
    tokenizer.post_processor = processors.TemplateProcessing("<begin> $A <end>", special_tokens=ends)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<begin>", eos_token="<end>", pad_token="<end>")
    fast.model_max_length = 77
    return CLIP("ViT-B/32 size, random", "", model, fast, None, 77, 512)


def from_vectors(clip, vectors, end):
    """Features (n, d), not normalised, of token vectors (n, 77, w), read at position `end`."""
    text = clip.model.text_model
    x = vectors + text.embeddings.position_embedding.weight
    mask = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)[None, None]
    for block in text.encoder.layers:
        out = block(x, mask)
        x = out[0] if isinstance(out, tuple) else out
    return clip.model.text_projection(text.final_layer_norm(x)[:, end])


def cosines(text, features):
    """Cosines (m, n) of m targets with n texts, with the operations of the authors' fork of open_clip."""
    return (features / features.norm(dim=1, keepdim=True)) @ (text / text.norm(dim=1, keepdim=True)).t()


def released_loop(clip, targets, restarts, steps, seed, seen):
    """The released loop, written out plainly: the table normalised and the tower run twice in every step, at all positions."""
    table = clip.model.text_model.embeddings.token_embedding.weight
    torch.manual_seed(seed)
    x = table[torch.randint(len(table), (restarts, LENGTH))].detach().clone().requires_grad_()
    frame = torch.tensor([VOCABULARY - 2] + [0] * LENGTH + [VOCABULARY - 1] + [0] * (77 - LENGTH - 2)).repeat(restarts, 1)
    optimiser = torch.optim.AdamW([x], lr=0.1, weight_decay=0.1)

    def similarity(vectors, features):
        whole = table[frame].detach().clone()
        whole[:, 1 : LENGTH + 1] = vectors
        return cosines(from_vectors(clip, whole, LENGTH + 1), features)

    for _ in range(steps):
        with torch.no_grad():
            unit, tokens = torch.nn.functional.normalize(x.reshape(-1, x.shape[-1])), torch.nn.functional.normalize(table)
            ids = torch.tensor([int(best) for best in (unit @ tokens.t()).topk(1, dim=1).indices]).view(restarts, LENGTH)
            similarity(table[ids], targets).mean(0)
        point = table[ids].detach().clone().requires_grad_()
        loss = 1 - similarity(point, targets).mean()
        x.grad, before = torch.autograd.grad(loss, point)[0], x.detach().clone()
        optimiser.step()
        optimiser.zero_grad()
        seen(ids, before)


def authors_loop(folder, clip, targets, restarts, steps, seed, seen):
    """The loop of a checkout of the authors' code, around our tower; of open_clip it uses the names below and nothing else."""
    sys.modules.setdefault("open_clip", SimpleNamespace(tokenizer=None))
    sys.modules.setdefault("requests", SimpleNamespace())
    spec = importlib.util.spec_from_file_location("authors_optim_utils", Path(folder) / "optim_utils.py")
    theirs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(theirs)
    project = theirs.nn_project

    def noted(*args, **kwargs):
        out = project(*args, **kwargs)
        ids.append((out[1], args[0].detach().clone()))
        return out

    def forward(vectors, frame, features):
        found = cosines(from_vectors(clip, vectors, LENGTH + 1), features)
        return found, found.t()

    class Tokens:
        encoder = range(VOCABULARY)

        def encode(self, text):
            return [49406] * len(text.split())

        def decode(self, row):
            if len(ids) > len(noted_steps):  # once a step, after the update
                noted_steps.append(True)
                seen(*ids[-1])
            return " ".join(map(str, row))

    ids, noted_steps, theirs.nn_project = [], [], noted
    torch.manual_seed(seed)
    embedding = clip.model.text_model.embeddings.token_embedding
    args = dict(prompt_len=LENGTH, prompt_bs=restarts, iter=steps, lr=0.1, weight_decay=0.1, print_step=None, batch_size=None)
    args = SimpleNamespace(**args, loss_weight=1.0)
    theirs.optimize_prompt_loop(SimpleNamespace(forward_text_embedding=forward), Tokens(), embedding, targets, args, "cpu")


class Turns:
    """Runs a loop in a thread, one step at a time: `next()` makes a step and returns its ids and seconds."""

    def __init__(self, loop, *args):
        self.go, self.done, self.args = threading.Semaphore(0), threading.Semaphore(0), args
        self.ids, self.vectors, self.failed = None, None, None
        threading.Thread(target=self._run, args=(loop,), daemon=True).start()

    def _run(self, loop):
        self.go.acquire()
        try:
            loop(*self.args, self._seen)
        except BaseException as err:
            self.failed = err
        self.done.release()

    def _seen(self, ids, vectors):
        self.ids, self.vectors = ids.clone(), vectors
        self.done.release()
        self.go.acquire()

    def next(self):
        """Make a step. Returns its ids (r, t) and its seconds."""
        start = time.perf_counter()
        self.go.release()
        self.done.acquire()
        if self.failed:
            raise self.failed
        return self.ids, time.perf_counter() - start


def parting(clip, ids, other, vectors):
    """Says where ids (r, t) and other ids differ, and how far apart the cosines of both tokens with the vector (r, t, w) are."""
    places = (ids != other).nonzero()
    restart, place = places[0].tolist()
    table = clip.model.text_model.embeddings.token_embedding.weight.detach()
    pair = table[[int(ids[restart, place]), int(other[restart, place])]].double()
    first, second = torch.nn.functional.cosine_similarity(vectors[restart, place][None].double(), pair).tolist()
    return (
        f"{len(places)} tokens differ, the first in restart {restart} at position {place}: cosines {first:.9f} and {second:.9f}, "
        f"{abs(first - second):.1e} apart"
    )


def speed(args):
    """Print milliseconds per step of both loops, taking turns, and for how many steps all ids were equal."""
    clip = large_clip()
    rows = torch.randn(args.targets, 512, generator=torch.Generator().manual_seed(1))
    # as our search has them after its own check: the last bit counts
    targets = pez.as_targets(clip, [("features", row) for row in rows])
    name = "authors' code" if args.authors else "released loop, written out"
    loop = (authors_loop, args.authors) if args.authors else (released_loop,)
    for restarts in args.restarts:
        theirs = Turns(*loop, clip, targets.features, restarts, args.steps, 0)
        times, equal, mark = [], [], [time.perf_counter()]

        def turn(step, theirs=theirs, times=times, equal=equal, mark=mark):
            mine = time.perf_counter() - mark[0]
            ids, other = theirs.next()
            equal.append(torch.equal(ids.cpu(), step.ids[0]))
            times.append((mine, other))
            if not equal[-1] and all(equal[:-1]):
                print(f"  step {step.step}: {parting(clip, ids, step.ids[0], theirs.vectors)}", flush=True)
            if step.step % 50 == 0:
                print(f"  step {step.step}: {mine * 1e3:.0f} and {other * 1e3:.0f} ms; equal ids: {all(equal)}", flush=True)
            mark[0] = time.perf_counter()

        shape = dict(length=LENGTH, steps=args.steps, restarts=restarts)
        pez.search(clip, targets, pez.PEZConfig(vocabulary="all", polish=0, **shape), on_step=turn)
        mine, other = (statistics.median(column) * 1e3 for column in zip(*times[1:], strict=True))
        ratio = statistics.median(b / a for a, b in times[1:])
        same = f"equal ids in the first {[*equal, False].index(False)} of {len(equal)} steps"
        print(f"{restarts} restarts: {name} {other:.0f} ms, ours {mine:.0f} ms: {ratio:.2f} x; {same}", flush=True)


def world(args):
    """Print the table of methods on pictures of the built-in world."""
    from workbench.models.checker import load_checker
    from workbench.world import scenes
    from workbench.world.render import render

    clip, lm = load_clip(args.clip), load_lm("world")
    pipe, judge = (load_pipeline("world"), load_checker()) if args.draw else (None, None)
    chosen = scenes.scenes(args.pictures, seed=args.seed, split="held_out")
    pictures = [PIL.Image.fromarray(render(scene, seed=1000 * args.seed + i)) for i, scene in enumerate(chosen)]
    columns = ["similarity", "nats a token", "splits again", "ms per step and picture", "steps"]
    columns += ["drawn: object", "drawn: all four"] if args.draw else []
    print("| method | " + " | ".join([*GATES, *columns]) + " |")
    print("| --- |" + " --- |" * (len(GATES) + len(columns)))

    def line(name, texts, *cells):
        nats = -log_prob(lm, mean=True)(texts).mean()
        cells = [cells[0], f"{nats:.2f}", *cells[1:]]
        if args.draw:
            drawn = judge.accuracy(pipe.draw(texts, steps=20, seed=0), chosen)
            cells += [f"{drawn['object']:.3f}", f"{drawn['all']:.3f}"]
        print(row(name, texts, chosen, scenes.read, cells), flush=True)

    if args.draw:
        line("what is shown", [scenes.caption(scene) for scene in chosen], *"----")
    texts, similarity = by_chance(clip, pictures, args.budget or 4 * args.steps)
    line("best of random prompts", texts, f"{similarity:.3f}", *"---")
    for name in args.methods:
        config = config_of(name, args)
        start = time.process_time()
        prompts = pez.search_many(clip, pictures, config, lm=lm if config.fluency else None)
        cost = (time.process_time() - start) / len(prompts) / config.steps
        similarity, again = (np.mean([getattr(p, what) for p in prompts]) for what in ("similarity", "retokenises"))
        steps = str(max(prompt.steps for prompt in prompts))
        line(name, [prompt.text for prompt in prompts], f"{similarity:.3f}", f"{again:.2f}", f"{cost * 1e3:.2f}", steps)


def config_of(name, args):
    """Options of a line of the table: a method, "+polish" for its default polish, "+fluency" for `--fluency`."""
    method, *extras = name.split("+")
    config = dict(method=method, length=8, steps=args.steps, restarts=4, seed=args.seed, vocabulary=args.vocabulary)
    if "polish" not in extras:
        config["polish"] = 0
    if "fluency" in extras:
        config["fluency"] = args.fluency
    if args.budget:
        tried = args.candidates if method in ("hotflip", "gcg") else 0
        config |= dict(restarts=1, candidates=tried, width=tried) if tried else {}
        config["steps"] = args.budget // (config["restarts"] * (1 + tried))
    return pez.PEZConfig(**config)


def by_chance(clip, pictures, n):
    """Texts and mean similarity of the best of n random prompts, one set for all pictures."""
    plain = [i for i in range(len(clip.tokenizer)) if i not in clip.tokenizer.all_special_ids]
    ids = np.random.default_rng(0).choice(plain, (n, 8)).tolist()
    texts = clip.tokenizer.batch_decode(ids)
    cosines = clip.image_features(pictures) @ clip.text_features(texts).t()
    return [texts[int(i)] for i in cosines.argmax(1)], float(cosines.amax(1).mean())


def row(name, texts, chosen, read, cells):
    """A line of the table: the share of prompts that name each attribute correctly, its gate, and further cells."""
    right = {gate: [] for gate in GATES}
    for text, scene in zip(texts, chosen, strict=True):
        hits = {attribute: read(text)[attribute] == getattr(scene, attribute) for attribute in ATTRIBUTES}
        for attribute, hit in hits.items():
            right[attribute].append(hit)
        right["all four"].append(all(hits.values()))
    shares = [f"{np.mean(right[gate]):.2f}{'' if np.mean(right[gate]) >= least else ' (below)'}" for gate, least in GATES.items()]
    return "| " + " | ".join([name, *shares, *cells]) + " |"


def main():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--authors", help="folder with optim_utils.py of the authors")
    parser.add_argument("--restarts", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--targets", type=int, default=1, help="targets of the speed test")
    parser.add_argument("--world", action="store_true")
    parser.add_argument("--clip", default="world")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--methods", nargs="+", default=[*pez.METHODS, "pez+polish"], help="also +polish and +fluency")
    parser.add_argument("--fluency", type=float, default=0.02, help="what a nat per token costs in lines with +fluency")
    parser.add_argument("--vocabulary", default="printable", help="tokens to choose from, as in PEZConfig")
    parser.add_argument("--budget", type=int, help="forward passes per picture, a gradient counts as one, in place of --steps")
    parser.add_argument("--candidates", type=int, default=32, help="swaps tried in a step by hotflip and gcg under --budget")
    parser.add_argument("--draw", action="store_true", help="draw the prompts again and let the checker read the pictures")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.speed or not args.world:
        speed(args)
    if args.world:
        world(args)


if __name__ == "__main__":
    main()
