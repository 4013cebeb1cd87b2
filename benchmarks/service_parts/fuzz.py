"""Requests that nobody should send: right ones with one thing or several changed, as hypothesis draws them."""

import base64
import json
import re

import numpy as np
import safetensors.numpy
from hypothesis import strategies as st

WORDS = ("red", "blue", "old", "fox", "ship", "castle", "moon", "is", "good", "bad")
POSTS = ("/gradient", "/predict", "/update", "/choose", "/library/search", "/library/upload", "/library/read", "/library/remove")
POSTS += ("/meta-prompt", "/meta-prompt/learn", "/visual/gradient", "/visual/predict", "/visual/upload", "/visual/search")
# What no answer may hold: layers, files, types, traces.
NEVER = re.compile(
    r"GPT2|Llama|Linear|LayerNorm|Embedding\(|transformer|torch|lm_head|wte|\.py\b|Traceback|site-packages|/home|/tmp/|SoftConfig"
    r"|SoftPrompt|MetaConfig|MetaPrompt|DataSet|VisualConfig|VisualPrompt|Checker\b|\w+Error\b|pydantic|uvicorn|fastapi|starlette",
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.none() | st.text(max_size=5) | st.integers(), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
    st.sampled_from(["../../etc/passwd", "\ud800", "\x00", "a" * 5_000, "' OR '1'='1", "{text}{text}", "{0.__class__}", "-1"]),
)
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=5)


def encoded(arrays):
    """Arrays as requests hold them."""
    return base64.b64encode(safetensors.numpy.save(arrays)).decode()


@st.composite
def vectors(draw, width):
    """Vectors: right ones, and others."""
    if draw(st.booleans()):
        return encoded({"vectors": np.random.default_rng(draw(st.integers(0, 9))).normal(size=(3, width)).astype("float32")})
    k, w = draw(st.integers(0, 6)), draw(st.sampled_from([width] * 6 + [0, 1, width + 1]))
    kind = draw(st.sampled_from(["float32"] * 8 + ["float64", "int8"]))
    scale = draw(st.sampled_from([0.0, 0.3, 0.3, 0.3, 1e3, 1e4, 1e30]))
    array = np.random.default_rng(draw(st.integers(0, 9))).normal(size=(k, w)) * scale
    array = (array.clip(-100, 100) if kind == "int8" else array).astype(kind)
    if array.size and kind == "float32" and draw(st.integers(0, 9)) == 0:
        array[0, 0] = draw(st.sampled_from([np.nan, np.inf]))
    text = encoded({draw(st.sampled_from(["vectors"] * 9 + ["other"])): array})
    return draw(st.sampled_from([text] * 8 + [text[:-7], text + "==", "", "gASVAAAA"]))


@st.composite
def seen(draw, path):
    """The body of a request about pictures, for the checker of the world."""
    numbers = draw(st.sampled_from([448, 448, 448, 5, 0]))
    border = np.full((1, 3, numbers), draw(st.sampled_from([0.0, 0.5, 0.5, np.nan, 1e30])), np.float32)
    side, kind = draw(st.sampled_from([32, 32, 8, 0, 2_000])), draw(st.sampled_from(["uint8"] * 5 + ["float32"]))
    body = {"tensors": encoded({draw(st.sampled_from(["own.border"] * 5 + ["own.mask", "../x"])): border})}
    body |= {"classes": draw(st.sampled_from([["blue", "red"], ["red", "blue"], ["red"], ["red", "red"], ["cat", "red"]]))}
    options = [{}, {}, {}, {"kind": "mask"}, {"kind": "deep"}, {"width": 10**9}, {"maker": 10**9}, {"template": "x"}, {"a": 1}]
    body |= {"options": draw(st.sampled_from(options))}
    if path in ("/visual/gradient", "/visual/predict"):
        pictures = encoded({"pictures": np.full((2, side, min(side, 32), draw(st.sampled_from([3, 3, 3, 4]))), 9, kind)})
        body |= {"pictures": draw(st.sampled_from([pictures] * 8 + [pictures[:-9], "", "gASVAAAA"]))}
    if path == "/visual/gradient":
        body |= {"labels": draw(st.sampled_from([["red", "blue"], ["red", "cat"], ["red"], []]))}
    if path == "/visual/upload":
        data = [{"name": "own", "sha256": "0" * 64}]
        body |= {"card": {"name": draw(st.text(max_size=5)), "date": "2026-03-01T12:00:00Z", "data": data}}
    return body


@st.composite
def requests(draw, width):
    """A method, a path, and a body as bytes."""
    path, texts = draw(st.sampled_from(POSTS)), draw(TEXTS)
    labels = [WORDS[len(text) % 3] for text in texts]
    body = {"vectors": draw(vectors(width)), "layout": draw(st.sampled_from(["suffix", "prefix"]))}
    if path in ("/gradient", "/update"):
        body |= {"texts": texts, "labels": draw(st.sampled_from([labels, None]))}
        body |= {"classes": draw(st.sampled_from([None, ["red", "blue", "old"]]))}
        body |= {"loss": draw(st.sampled_from(["cross_entropy", "likelihood", "mse", "hinge"]))}
    if path == "/update":
        state = {name: np.full((3, width), 0.1, np.float32) for name in ("first", "second")} | {
            "steps": np.full((), 2, np.float32)
        }
        body["rule"] = {"name": draw(st.sampled_from(["sgd", "adamw"])), "rate": draw(st.sampled_from([1e-3, 1.0, 1e3, 0, -1]))}
        body["state"] = draw(st.sampled_from([None, encoded(state)]))
    elif path == "/predict":
        body |= {"texts": texts, "classes": draw(st.sampled_from([["red", "blue"], ["red"], ["red", "red"], ["is", "is old"]]))}
    elif path == "/choose":
        body |= {
            "texts": texts,
            "labels": labels,
            "n": draw(st.integers(-1, 9)),
            "how": draw(st.sampled_from(["random", "boundary"])),
        }
    elif path == "/library/search":
        body |= {"k": draw(st.integers(-1, 9)), "by": draw(st.sampled_from(["prompt", "gradient", "texts"]))}
        body |= draw(
            st.sampled_from([{}, {"texts": texts, "labels": labels}, {"where": {"tag": "x"}}, {"where": {"SQL": "1=1"}}])
        )
    elif path == "/library/upload":
        data = {"name": "own", "sha256": draw(st.sampled_from(["0" * 64, "x", None]))}
        card = {"name": draw(st.text(max_size=5)), "date": "2026-03-01T12:00:00Z", "data": [data]}
        body |= {"classes": ["red", "blue"], "card": card, "rows": draw(st.sampled_from([None, [texts, labels]]))}
    elif path in ("/library/read", "/library/remove"):
        body = {"name": draw(st.text(max_size=12))}
    elif path == "/meta-prompt":
        shown = draw(st.sampled_from([[list(pair) for pair in zip(texts, labels, strict=True)], "red or blue", []]))
        body = {
            "examples": shown,
            "classes": draw(st.sampled_from([None, ["red", "blue"]])),
            "name": draw(st.sampled_from([None, "x", "general"])),
        }
    elif path == "/meta-prompt/learn":
        body = {"tasks": [{"name": "a", "texts": texts, "labels": labels}], "steps": draw(st.integers(-1, 1)), "examples": 2}
        body["example"] = "{text} {label}"
    elif path.startswith("/visual/"):
        body = draw(seen(path))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        body[draw(st.sampled_from([*body, "rate", "__class__", "texts"]))] = draw(ODD)
    data = json.dumps(body).encode("utf-8", "surrogatepass")
    cut = draw(st.sampled_from([None] * 15 + [0, 1, len(data) // 2]))
    method = draw(st.sampled_from(["POST"] * 19 + ["GET", "DELETE"]))
    return method, draw(st.sampled_from([path] * 19 + ["/kept/../x", "/" + "x" * 50])), data[:cut]
