"""What the shipped language says about twenty ordinary prompts: each chip with the name of its code, and whether that is right.

    python benchmarks/reading.py [--dsl world] [--out benchmarks/reading.md]

The prompts were made up for this, before the language was learned, and so were the kinds that are right for each phrase, in
square brackets: `[golden hour|lighting time]` may be called either. A code counts by the kind that its name begins with.
Function words, which have no chip, and phrases outside brackets are not judged.
"""

import argparse
import re
from pathlib import Path

from workbench import DeepDSL
from workbench.words import is_function

_TEXT = """
[cozy|adjective aesthetic] [cabin|place] [interior|place composition] with [fireplace|object],
[isometric view|composition camera], [ghibli|artist movement aesthetic] style, [soft|lighting adjective] [warm light|lighting],
[watercolor|medium]

a [bowl|object food] of [ramen|food] with [boiled egg|food] and [scallions|food plant],
[food photography|medium food], [50mm lens|camera], [shallow depth of field|camera composition]

[1girl|person], [solo|person], [silver_hair|body], [school_uniform|clothing], [looking_at_viewer|action composition],
[cherry_blossoms|plant], [masterpiece|quality], [best quality|quality]

a [golden retriever|animal] wearing a [red|color] [scarf|clothing] in the [snow|place weather],
[golden hour|lighting time], [Canon EOS R5|camera]

[ancient|adjective time aesthetic] [greek|nationality] [temple|place] on a [cliff|place] above the [sea|place]
at [sunset|time lighting], [oil painting|medium], by [Ivan Aivazovsky|artist]

([cyberpunk|aesthetic movement] [street|place]:1.2), [neon lights|lighting], [rain|weather place lighting],
[reflections|lighting renderer], [cinematic|quality lighting camera], <lora:neon_city:0.7>

[portrait|composition medium] of an [old|adjective] [fisherman|person] with a [white|color] [beard|body],
[wool|material] [sweater|clothing], [black and white|color] [photograph|medium], [dramatic lighting|lighting],
[85mm|camera]

a [red|color] [dragon|creature] [flying|action] over a [medieval|aesthetic movement time] [castle|place object],
[fantasy art|movement aesthetic medium], [highly detailed|quality], [trending on artstation|site]

[vintage|adjective aesthetic time] [sports car|object] on a [mountain|place] [road|place], [autumn|time],
[motion blur|camera], [unreal engine 5|renderer], [8k|quality] --ar 16:9

[still life|medium composition] of [lemons|food plant] and a [blue|color] [vase|object] on a [wooden|material]
[table|object], in the style of [Paul Cézanne|artist]

[cute|adjective] [hedgehog|animal] [drinking tea|action food], [storybook illustration|medium], [pastel colors|color],
by [Beatrix Potter|artist]

[japanese|nationality] [woman|person] in a [silk|material] [kimono|clothing] under a [wisteria|plant] tree,
[ukiyo-e|movement], [soft light|lighting]

[astronaut|person] [riding|action] a [horse|animal] on [mars|place], [digital art|medium],
[vaporwave|aesthetic movement], [wide shot|composition camera]

a [low poly|renderer medium aesthetic] [fox|animal] in a [birch forest|place], [bird's eye view|composition camera],
[blender|renderer], [octane render|renderer], [pastel colors|color]

[steampunk|aesthetic movement] [owl|animal] made of [brass|material], [intricate details|quality],
[studio lighting|lighting], [macro|camera composition] [photography|medium camera]

[elf|creature person] [warrior|person] with [long blonde hair|body], [silver|color material] [armor|clothing],
[forest|place] background, [full body|composition], [concept art|medium], by [Alphonse Mucha|artist]

[chocolate|food] [cake|food] with [strawberries|food] on a [marble|material] [table|object],
[top down view|composition camera], [soft shadows|lighting]

[victorian|aesthetic movement time] [mansion|place] at [midnight|time], [fog|weather place lighting],
[full moon|place lighting], [gothic|aesthetic movement], [moody lighting|lighting], [film grain|camera]

[art deco|movement] [poster|medium] of a [singer|person], [gold|color material] and [black|color], [1920s|time]
[paris|place]

[sunflowers|plant] in a [ceramic|material] [pot|object], [impasto|medium], [vibrant colors|color],
[impressionism|movement], by [Vincent van Gogh|artist], [artstation|site]
"""
# A prompt ends at an empty line.
PROMPTS = [" ".join(marked.split()) for marked in _TEXT.split("\n\n")]
_MARKED = re.compile(r"\[([^|\]]+)\|([^\]]+)\]")


def judged(marked):
    """A prompt and its judged phrases: (str, list of (start, end, set of kinds))."""
    text, spans, at = "", [], 0
    for found in _MARKED.finditer(marked):
        text += marked[at : found.start()]
        spans.append((len(text), len(text) + len(found[1]), set(found[2].split())))
        text, at = text + found[1], found.end()
    return text + marked[at:], spans


def chips(dsl, marked):
    """Rows (phrase, name of its code, right or not) of a prompt; a chip that lies in a judged phrase, or holds it, is judged."""
    text, spans = judged(marked)
    literal = {code.name for code in dsl.codes if code.literal}
    rows = []
    for unit in dsl.tag(text):
        kinds = set().union(*(kinds for start, end, kinds in spans if unit.start < end and unit.end > start), set())
        if kinds and not is_function(unit.text):
            right = unit.name.split("-")[0] in kinds and unit.name not in literal
            rows.append((unit.text, unit.name, right))
    return text, rows


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dsl", default="world", help="folder of a language, or world (default: %(default)s)")
    parser.add_argument("--out", help="file to write the table to")
    args = parser.parse_args()
    dsl = DeepDSL.load(args.dsl)
    lines, right, total = [], 0, 0
    for number, marked in enumerate(PROMPTS, 1):
        text, rows = chips(dsl, marked)
        right, total = right + sum(row[2] for row in rows), total + len(rows)
        lines += [f"**{number}.** `{text}`", "", "| phrase | code | |", "| --- | --- | --- |"]
        lines += [f"| {phrase} | {name} | {'right' if ok else 'wrong'} |" for phrase, name, ok in rows] + [""]
    head = ["# Twenty ordinary prompts, as the shipped language reads them", "", "Printed by `benchmarks/reading.py`."]
    page = "\n".join([*head, f"**{right} of {total} chips are right ({right / total:.0%}).**", "", *lines])
    print(page)
    if args.out:
        Path(args.out).write_text(page.rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
