"""Hostile prompts: whatever is typed is printed, parsed and read without loss, in linear time, and markup stays to the letter."""

import contextlib
import functools
import random
import re
import time

from stress_parts.forks import ENDED, Fork
from stress_parts.jobs import Result
from stress_parts.table import Row
from workbench import words
from workbench.language.dsl import DeepDSL
from workbench.language.dsl.reader import LONGEST
from workbench.template import Slot, Template, parse
from workbench.values import TemplateError

# Syntax of other programs, kept to the letter by everything that writes; first what a re-roll is tried with.
LITERAL = (
    "<lora:ink_style:0.8>¦<lora:add_detail:1>¦<hypernet:anime_2:0.5>¦embedding:EasyNegative¦__color__¦__artists/modern__¦BREAK¦AND¦"
    "{red|blue|old}¦{2$$oak|elm}¦{0.5::snow|0.2::rain}¦[fox|cat]¦[fox:cat:.5]¦(neon:1.3)¦neon::2¦--ar 16:9¦--v 6.1¦--style raw¦"
    "--sref https://example.org/a_b.png?x=1&y=2#z¦--seed 7¦https://example.org/a.png¦"
    "ganyu \\(genshin impact\\)"
).split("¦")
MARKUP = LITERAL + (
    "long_hair¦blue_eyes¦<lyco:glow:0.7:0.2>¦<bad-hands-5>¦(embedding:bad_hands:1.2)¦${era=1920s}¦3$$¦[fox:8]¦[sketch::12]¦((neon))¦[[fog]]¦(neon)1.2¦"
    "neon++¦fog--¦(a hill)+¦fog::-.5¦--no text, logo¦--niji¦www.example.org/x_y¦saber \\[fate\\]¦1girl¦:d¦^_^¦o_o¦>_<¦@user¦#tag¦"
    "<!-- x -->¦&amp;¦<b>bold</b>¦score_9_up¦rating:safe"
).split("¦")
_KEPT = {"(neon:1.3)": ":1.3)", "neon::2": "::2", "ganyu \\(genshin impact\\)": "\\)"}  # words in it may be written anew
_PLAIN = "a red fox in snow¦a castle on a hill¦oil on canvas¦by Claude Monet¦8k¦golden hour¦portrait of a samurai".split("¦")
_ODD = (
    "<?>¦<subject:?>¦<color:red>¦<:x>¦<a:¦<¦>¦\\¦\\<¦\\>¦\\\\¦<<?>>¦<a\\:b:c>¦?¦<x:\\?>¦\0¦\x1b[31m¦\r\n¦\n¦\t¦\u200b¦\u200d¦\u00ad¦"
    "\ufeff¦\u202e¦\u2066¦\ud83d¦\udc00¦\ufffd¦\U0001f9d1\u200d\U0001f3a8¦\U0001f1e9\U0001f1ea¦e\u0301\u0302\u0303¦\u0600 x¦塔¦"
    "قلعة¦לילה¦ﬁ¦İ¦ß¦ǅ¦\u3000¦((((¦))))¦[[¦]]¦{{¦}}¦|¦||¦,,,,¦...¦;¦:¦::¦'¦\"¦“”¦`¦$¦%¦=cmd()¦+1¦-¦<script>alert(1)</script>¦javascript:alert(1)¦"
    "1.2.3.4¦f/1.8¦16:9¦h. r. giger¦d&d¦sci - fi"
).split("¦") + ["a" * 300, "-" * 60]
_SLOWEST = 5  # seconds of one core
# What is slow for a parser that looks back; each is repeated up to the length that is tried.
SLOW = (
    "a¦a ¦a,¦(¦)¦(a¦[a:¦{a|¦<¦<a¦<a:¦<a:b¦\\¦\\<¦<?>¦<a:?>¦--¦--a¦--a ¦-a¦-¦h.¦h. ¦a.b¦1:¦:1¦1.¦1x¦f/¦__¦__a¦a_¦$¦${¦"
    "AND ¦BREAK ¦http://¦https://a.b/¦www.¦<lora:¦<lora:a:1>¦embedding:¦(a:1.2)¦(a:1¦a++¦a::¦a'¦'¦&¦\u0301¦e\u0301¦\u200d¦\ud83d¦\U0001f9d1\u200d¦"
    "\u0600¦ ¦\n¦\t¦\u3000¦塔¦,¦.¦|¦a-¦\\(¦\\(a\\)¦[¦]¦{¦}¦::¦a b c ¦((a)¦{{a|b}|¦[a|[b¦:1.2)¦--ar 1"
).split("¦")


def hostile(world, n, seed, short=False):
    """Yield a `Row` for `n` prompts, for a tenth of them as they are written anew, and for the time of `SLOW`."""
    rng = random.Random(f"{seed} hostile")
    dsl = world.dsl if short else DeepDSL.load("world")
    yield _kept(world.dsl, n, rng)
    yield _rewritten(dsl, max(12, n // 25), rng)
    slow, length = (SLOW[::6], 10_000) if short else (SLOW, 100_000)
    timed = functools.partial(_timed, world.folder / "end.json", length)
    yield timed("split", words.split, slow)[0]
    yield timed("parse and print", _parsed, slow)[0]
    timed = functools.partial(_timed, world.folder / "end.json", min(length, LONGEST))
    row, slow = timed("read", lambda text: _read(world.dsl, text), slow)
    yield row
    if not short:
        yield timed("read with the shipped language", lambda text: _read(dsl, text), slow[:6])[0]


def mixed(rng):
    """A prompt of a few pieces of all kinds."""
    pieces = [rng.choice(rng.choice((_PLAIN, MARKUP, _ODD))) for _ in range(rng.randint(1, 9))]
    text = "".join(piece + rng.choice((", ", " ", "", ", ", "\n")) for piece in pieces)
    if rng.random() < 0.2:  # something cut off or doubled in its middle
        at = rng.randrange(len(text))
        text = rng.choice((text[at:], text[:at], text[:at] + text[at - 9 :]))
    return text


def flat(template):
    """The text of a template with its masks as they are printed."""
    return "".join(str(p) if isinstance(p, Slot) and p.text is None else getattr(p, "text", p) for p in template.parts)


def _kept(dsl, n, rng):
    row = Row("hostile: parse, print, read, tag")
    for _ in range(n):
        text = mixed(rng)
        row.tried += 1
        try:
            fault = _fault(dsl, text)
            if fault:
                row.fail("unequal", f"{text!r}: {fault}")
            else:
                row.rebuilt += 1
        except TemplateError:
            row.named += 1
        except Exception as err:
            row.fail("crashed", f"{text!r}: {type(err).__name__}: {err}")
    return row.done()


def _fault(dsl, text):
    """What is wrong with how a prompt is printed, parsed, tagged and read, or None. TemplateError if it is refused."""
    literal = Template.build([text])
    if parse(str(literal)) != literal:
        return "its printed form is parsed as another template"
    units = dsl.tag(text)
    if any(text[u.start : u.end] != u.text for u in units) or any(
        a.end > b.start for a, b in zip(units, units[1:], strict=False)
    ):
        return "its units do not lie where they say"
    tokens = words.split(text)
    if "".join(
        text[a.end : b.start]
        for a, b in zip([words.Word(0, 0, ""), *tokens], [*tokens, words.Word(len(text), 0, "")], strict=True)
    ).strip():
        return "words.split left something out"
    texts = {text, re.sub(r"\\([<>\\])", r"\1", text)}  # with a mask in it, a text is taken for a printed template
    try:
        typed = parse(text)
        if parse(str(typed)) != typed:
            return "what is parsed prints as another template"
        texts.add(flat(typed))
    except TemplateError:
        pass
    read = dsl.read(text)
    if flat(read) not in texts:
        return f"read as {flat(read)!r}"
    return None if parse(str(read)) == read else "what was read prints as another template"


def _rewritten(dsl, n, rng):
    """Re-roll and infill of prompts with markup: every piece of it has to be there again, and fillers hold no signs of it."""
    row = Row("hostile: re-roll, infill and vary of markup")
    for number in range(n):
        pieces = rng.sample(LITERAL, 2)
        text = ", ".join(rng.sample([*rng.sample(_PLAIN, 2), pieces[0]], 3)) + f", 8k {pieces[1]}"
        verb = ("sample", "infill", "vary")[number % 3]
        row.tried += 1
        try:
            if verb == "sample":
                out = dsl.sample(1, template=text, seed=number)
            else:
                out = (
                    dsl.infill(f"a castle, <?>, {text}", 1, seed=number)
                    if verb == "infill"
                    else dsl.vary(text, 1, 0.3, seed=number)
                )
        except TemplateError as err:
            row.fail("unequal", f"{verb} {text!r}: {err}")
            continue
        except Exception as err:
            row.fail("crashed", f"{verb} {text!r}: {type(err).__name__}: {err}")
            continue
        gone = [piece for piece in (_KEPT.get(one, one) for one in pieces) if str(out[0]).count(piece) < text.count(piece)]
        made = [part.text for part in out[0].template.parts if isinstance(part, Slot)]
        signs = [filler for filler in made if re.search(r"[,;|<>(){}\[\]]", filler or "") and filler not in text]
        if gone or signs:
            row.fail("lost" if gone else "unequal", f"{verb} {text!r} -> {str(out[0])!r}: {gone or signs}", len(gone) or 1)
        else:
            row.rebuilt += 1
    return row.done()


def _read(dsl, text):
    with contextlib.suppress(TemplateError):
        dsl.read(text)


def _parsed(text):
    try:
        str(parse(text))
    except TemplateError:
        str(parse(str(Template.build([text]))))


def _timed(report, length, name, verb, slow):
    """A `Row` for a verb on texts of `length` characters, and the pieces `slow` again, that which took longest first."""
    row, took = Row(""), []
    for piece in slow:
        text = (piece * (length // len(piece) + 1))[:length]
        row.tried += 1

        def call(text=text):
            begin = time.process_time()
            verb(text)
            return Result({}, str(time.process_time() - begin))

        how, result, said = Fork(call, report).wait()
        took.append((float(result.digest) if how == ENDED else 120, piece))
        if how != ENDED or took[-1][0] > _SLOWEST:
            row.fail("crashed", f"{piece!r} x {length // len(piece):,}: {said or f'{took[-1][0]:.1f} s'}")
        else:
            row.rebuilt += 1
    took.sort(reverse=True)
    first = f", slowest {took[0][0]:.2f} s ({ascii(took[0][1])})".replace("|", "/") if took else ""
    row.what = f"hostile: {name} of {length // 1000} kB{first}"
    return row.done(), [piece for _, piece in took]
