# Setup, written by tools/notebooks.py: finds a checkout, else installs the package; it upgrades nothing.
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

spec = os.environ.get("WORKBENCH_SPEC", "https://github.com/OWNER/NAME/archive/refs/heads/main.zip")


def install(*wanted):
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() and "Retrying" not in line][-6:]
        why = "repository not found" if spec in wanted and "404" in str(said) else "pip failed"
        how = f" set WORKBENCH_SPEC to a folder or archive of the package, in place of {spec}" if spec in wanted else ""
        raise RuntimeError("\n".join([f"{why}:{how}", *said]))


checkout = next((folder for folder in (Path.cwd(), Path.cwd().parent) if (folder / "workbench" / "__init__.py").exists()), None)
if checkout:
    sys.path.insert(0, str(checkout))
elif not importlib.util.find_spec("workbench"):
    install("--no-deps", spec)
needed = "MODULE:REQUIREMENT"
pairs = [pair.split(":") for pair in needed.split()]
if missing := [wanted for module, wanted in pairs if not importlib.util.find_spec(module)]:
    present = [wanted.split(">=")[0] for _, wanted in pairs if wanted not in missing]
    kept = Path(tempfile.mkdtemp(), "present.txt")
    kept.write_text("\n".join(f"{name}=={importlib.metadata.version(name)}" for name in present))
    install(*missing, "--constraint", str(kept))  # what is there stays as it is
importlib.invalidate_caches()
print(f"workbench: {'this checkout' if checkout else 'installed'}; installed with it: {', '.join(missing) or 'nothing'}")
