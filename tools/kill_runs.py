"""Runs of ``persam-track`` killed at random moments: what they leave can be opened, and the next run clears it.

python tools/kill_runs.py --count 20
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from persam_video import InputError, open_video, read_palette_png

_ROOT = Path(__file__).parents[1]
_CLIP, _FIRST_MASK = _ROOT / "demo" / "clip.mp4", _ROOT / "demo" / "first_mask.png"


def command(folder: Path, end: int) -> list[str]:
    """Command that tracks the demo clip into a folder."""
    outputs = ["--masks", str(folder / "masks"), "--overlay", str(folder / "overlay.mp4")]
    outputs += ["--save-targets", str(folder / "targets.safetensors"), "--overwrite"]
    annotations = ["--first-mask", str(_FIRST_MASK), "--mask-at", "6", str(_FIRST_MASK)]
    program = [sys.executable, "-m", "persam_video.cli.track"]
    return [*program, str(_CLIP), *annotations, *outputs, "--end", str(end), "--size", "512", "--quiet"]


def faults_in(folder: Path) -> list[str]:
    """Files under a final name that cannot be opened."""
    found = []
    for path in folder.rglob("*"):
        if path.is_dir() or path.name.startswith("."):
            continue
        try:
            if path.suffix == ".png":
                read_palette_png(path)
            elif path.suffix == ".mp4":
                with open_video(path) as overlay:
                    if not sum(1 for _ in overlay):
                        raise InputError(f"{path}: holds no frame")
            elif path.suffix == ".safetensors":
                from safetensors import safe_open

                with safe_open(path, framework="np") as file:
                    file.keys()
            else:
                raise InputError(f"{path}: was not asked for")
        except Exception as error:  # whatever it is, the file cannot be opened
            found.append(f"{type(error).__name__}: {error}")
    return found


def hidden_in(folder: Path) -> list[Path]:
    """Temporary files and locks."""
    return [path for path in folder.rglob(".*") if path.is_file()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="number of runs; default: %(default)s")
    parser.add_argument("--end", type=int, default=24, help="frames of a whole run; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance, failed = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        began = time.perf_counter()
        subprocess.run(command(folder, options.end), check=True)
        whole = time.perf_counter() - began
        print(f"a whole run takes {whole:.1f} s")
        for number in range(options.count):
            kind = signal.SIGKILL if number % 2 == 0 else signal.SIGTERM
            wait = chance.uniform(0.3 * whole, whole)
            with subprocess.Popen(command(folder, options.end), stderr=subprocess.PIPE, text=True) as run:
                time.sleep(wait)
                run.send_signal(kind)
                _, errors = run.communicate()
            faults, left = faults_in(folder), hidden_in(folder)
            if kind == signal.SIGTERM:
                faults += [] if run.returncode in (0, 128 + signal.SIGTERM) else [errors]
                faults += [f"left: {path.name}" for path in left]
                faults += [f"printed: {errors!r}"] if errors.count("\n") != (run.returncode != 0) else []
            failed += bool(faults)
            masks = len(list(folder.glob("masks/*.png")))
            print(
                f"{kind.name} after {wait:4.1f} s: code {run.returncode}, {masks} masks, {len(left)} hidden files",
                *faults,
            )
        subprocess.run(command(folder, options.end), check=True)
        remains = [*faults_in(folder), *map(str, hidden_in(folder))]
        print("after a whole run:", remains or "nothing but its outputs")
    return 1 if failed or remains else 0


if __name__ == "__main__":
    sys.exit(main())
