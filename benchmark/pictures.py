"""Draw the pictures of docs/results anew from the JSON files beside them.

`python -m benchmark.pictures docs/results`
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from baselines.plots import COLORS, CONDITION_COLORS, draw_learning, legend, picture, shades, step_unit
from benchmark import ablation_dependence, generalization, twin_trials
from benchmark.ablation_report import draw_conditions, draw_curves
from benchmark.trial_pictures import draw_progress
from dexscrew_envs import program
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import TASKS

_TASKS = tuple(task.name for task in TASKS.values() if task.on_robot)
"""The paper's tasks, which have results to draw."""


@dataclass(kw_only=True)
class Args:
    """Draw the pictures of docs/results anew from the JSON files beside them."""

    folder: Annotated[Path, tyro.conf.Positional] = Path("docs/results")
    """Folder with the JSON files, in which the pictures are written."""


def draw_all(folder: Path) -> list[Path]:
    """Draw every picture and return their paths.

    Raises:
        ValueError: a JSON file is missing, or is not one that this version can draw.
    """
    drawn = []
    for task in _TASKS:
        for name, draw in (
            (f"{task}-oracle", _oracles),
            (f"{task}-student", _student),
            (f"ablation-{task}-curves", _curves),
            (f"ablation-{task}-conditions", _conditions),
            (f"ablation-{task}-dependence", _dependence),
        ):
            drawn.append(_draw(draw, folder, task, folder / f"{name}.png"))
    drawn.append(_draw(_longer, folder, "", folder / "ablation-longer.png"))
    drawn.append(_draw(_engines, folder, "", folder / "engines.png"))
    drawn.append(_draw(_other, folder, "", folder / "other.png"))
    drawn.append(_draw(_gpu, folder, "", folder / "gpu.png"))
    drawn += [
        _draw(_trials, folder, path.stem, path.with_suffix(".png")) for path in sorted(folder.glob("twin-*.json"))
    ]
    drawn += [_draw(_clones, folder, task, folder / f"clone-{task}.png") for task in _TASKS]
    return drawn


def _draw(draw: Callable[[Path, str, Path], None], folder: Path, task: str, path: Path) -> Path:
    try:
        draw(folder, task, path)
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be drawn from the JSON files in {folder}: {error!r}") from error
    return path


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _oracles(folder: Path, task: str, path: Path) -> None:
    runs = [run for run in _read(folder / "oracle.json") if run["task"] == task]
    curves = {f"seed {run['seed']}": run["curve"] for run in runs}
    resumed = {run["evaluations"][0]["steps"] for run in runs}  # runs stopped at the first evaluation, then went on
    draw_learning(path, f"oracle, {task}", curves, shades(COLORS["oracle"], len(runs)), sorted(resumed))


def _student(folder: Path, task: str, path: Path) -> None:
    found = _read(folder / f"{task}-student.json")
    generalization.draw(generalization.summarize(found["shapes"]), found["policy"], path)


def _curves(folder: Path, task: str, path: Path) -> None:
    draw_curves(task, _read(folder / f"ablation-{task}.json")["runs"], path)


def _conditions(folder: Path, task: str, path: Path) -> None:
    draw_conditions(task, _read(folder / f"ablation-{task}.json")["summary"], path)


def _dependence(folder: Path, task: str, path: Path) -> None:
    files = [folder / f"ablation-{task}{level}.json" for level in ("-none", "", "-wider")]
    ablation_dependence.draw(*ablation_dependence.read(files), path)


def _longer(folder: Path, _: str, path: Path) -> None:
    runs = _read(folder / "ablation-longer.json")
    last = {name: max(run["steps"] for run in runs if run["task"] == name) for name in _TASKS}
    oracles = [{**run, "agent": "oracle"} for run in _read(folder / "oracle.json")]
    lines = [
        (run["task"], run["agent"], COLORS[run["agent"]], _until(run["curve"], last[run["task"]]))
        for run in [*oracles, *runs]
    ]
    _draw_turns(path, "Longer training, one line per run", lines)


def _engines(folder: Path, _: str, path: Path) -> None:
    trainings = _read(folder / "engines.json")["trainings"]
    lines = [
        (run["task"], "mujoco, three seeds", CONDITION_COLORS[1], _until(run["curve"], 1.02e6))
        for run in _read(folder / "oracle.json")
    ]
    lines += [(name, "warp, one seed", CONDITION_COLORS[3], run["curve"]) for name, run in trainings.items()]
    _draw_turns(path, "Oracles on either engine, one line per run", lines)


def _other(folder: Path, _: str, path: Path) -> None:
    curves = {run["name"]: run["curve"] for run in _read(folder / "other.json")}
    draw_learning(path, "another hand and another task, seed 0", curves, CONDITION_COLORS[:3], [])


def _gpu(folder: Path, _: str, path: Path) -> None:
    """Draw the reward for turning over control steps: that of all environments, also when few end an episode."""
    found = _read(folder / "gpu.json")
    panels = (
        ("8,192 environments, alone on an H200", found["trainings"]),
        ("2,048 environments, four on an H100", found["h100"]["side_by_side"]),
        ("1,024 environments, six on an H200", found["three_seeds"]["side_by_side"]),
    )
    with picture(path, (13, 3.8), "Training an oracle on a GPU, with exploration noise", 3) as (_, axes):
        for axis, (title, runs) in zip(axes, panels, strict=True):
            for name, run in runs.items():
                task, *seeds = name.split("-")
                seed = int(seeds[0]) if seeds else 0
                axis.plot(
                    [row["steps"] / 1e6 for row in run["curve"]], [row["reward/rotate"] for row in run["curve"]],
                    label=f"{task}, seed {seed}", color=CONDITION_COLORS[1 if task == "nut" else 3],
                    linestyle=("-", "--", ":")[seed],
                )  # fmt: skip
            axis.set(title=title, xlabel="control steps (millions)", ylabel="reward for turning per control step")
            axis.set_ylim(0, 24)  # with room for the legend
            axis.legend(loc="upper left", ncols=2, fontsize=8, frameon=False)
            axis.grid(alpha=0.3)


def _trials(folder: Path, name: str, path: Path) -> None:
    twin_trials.draw(_read(folder / f"{name}.json"), path)


def _clones(folder: Path, task: str, path: Path) -> None:
    draw_progress(_read(folder / f"clone-{task}.json"), f"{task} on the twin", path)


def _until(curve: list[dict[str, float]], last: float) -> list[dict[str, float]]:
    return [row for row in curve if row["steps"] <= last]


def _draw_turns(path: Path, title: str, lines: Iterable[tuple[str, str, Any, list[dict[str, float]]]]) -> None:
    """Draw turns over control steps, a panel for each task: lines of task, label, colour and rows."""
    lines = list(lines)
    unit, label = step_unit(max(rows[-1]["steps"] for *_, rows in lines))
    with picture(path, (11, 3.8), f"{title} (last training episodes, with exploration noise)", 2) as (figure, axes):
        for axis, task in zip(axes, _TASKS, strict=True):
            here = [line for line in lines if line[0] == task]
            named: set[str] = set()
            for _, name, color, rows in here:
                shown = "_" if name in named else name  # once in the legend
                named.add(name)
                axis.plot(
                    [row["steps"] / unit for row in rows], [row["rotations"] for row in rows], color=color, label=shown
                )
            axis.set(title=task, xlabel=label, ylabel="turns per episode")
            if min(row["rotations"] for *_, rows in here for row in rows) > -0.1:
                axis.set_ylim(bottom=0)
            axis.grid(alpha=0.3)
        legend(figure, axes[0])


def _draw_again(args: Args) -> int:
    drawn = draw_all(args.folder)
    print(f"drawn: {len(drawn)} pictures in {args.folder}")
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("benchmark.pictures", Args, _draw_again, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
