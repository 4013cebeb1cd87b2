"""Cards: the README.md in the folder of a model, for people, and its figures.json, for the command."""

from workbench import files
from workbench.values import ArtifactError

FIGURES = "figures.json"
_LIMITS = """It knows this world only: six objects, eight colors, six backgrounds, six styles and three invented artists, as flat
drawings of 32 x 32 pixels. It is a teaching aid, with which methods can be tried offline, in seconds, where the truth is known.
It must not be used to judge, search, filter or make pictures of the real world, of people above all; to stand for how good
{kind} of ordinary size is; or to decide anything. Figures here say that a method works, not that it works elsewhere."""


def write(folder, part, figures, gates, seed, steps, what="", how="", kind="a model"):
    """Write card and figures of a model that was just trained, and let everybody read its files.

    Args:
        folder: Path of the model.
        part: str, its name, such as "clip".
        figures: dict of str to float, what `check` measured.
        gates: dict of str to (">=" or "<=", float).
        seed: int, of the training.
        steps: int, of the training.
        what: str, a paragraph: what it is and what it can be used for.
        how: str, a paragraph: how it was trained.
        kind: str for the paragraph on limits, such as "a CLIP".
    """
    figures = {name: round(float(value), 4) for name, value in figures.items()}
    gated = {name: list(gate) for name, gate in gates.items()}
    files.write_json(folder / FIGURES, {"part": part, "seed": seed, "steps": steps, "figures": figures, "gates": gated})
    rows = [f"| {name} | {value:.3f} | {_gate(name, gates)} |" for name, value in figures.items()]
    again = f"python -m tools.world train --only {part} --seed {seed} --out FOLDER"
    table = "| figure | value | must be |\n| --- | --- | --- |\n" + "\n".join(rows)
    text = [
        f"---\nlicense: mit\ntags: [toy, teaching]\n---\n\n# {part} of the built-in picture world",
        what.strip(),
        f"## How it was trained\n\n{how.strip()}",
        f"Its pictures and texts were made by `workbench.world`: no one's data went in. Seed {seed}, {steps:,} steps. Again, with"
        f" the same result but for rounding: `{again}`.",
        "## Figures\n\nOn pictures that no training has drawn, measured on the saved files"
        f" (`python -m tools.world check --only {part}`).\n\n{table}",
        f"## What it must not be used for\n\n{_LIMITS.format(kind=kind)}",
    ]
    with files.atomic_path(folder / "README.md") as temporary:
        temporary.write_text("\n\n".join(block for block in text if block) + "\n", "utf-8")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)  # some writers leave files that only their owner can read


def read(folder):
    """Figures of a finished model.

    Args:
        folder: Path of the model.

    Returns:
        dict with "part", "seed", "steps", "figures", "gates"; None if there is no finished model.
    """
    try:
        return files.read_json(folder / FIGURES)
    except (ArtifactError, OSError):
        return None


def _gate(name, gates):
    return f"{gates[name][0]} {gates[name][1]:g}" if name in gates else ""
