"""Write a policy as TorchScript and ONNX, for programs that have neither this package nor Python.

`python -m baselines.export --policy nut-student --out nut-student`
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines import policies
from dexscrew_envs import program
from dexscrew_envs.files import replacing, write_json
from dexscrew_envs.mdp.observations import HISTORY_STEPS, PROPRIO_STEPS
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import JOINTS, make_task

TOLERANCE = 1e-5
"""The exported networks must give the policy's actions to within this."""


class _Positional(nn.Module):
    """The actor with its keys as positional arguments, which is what both formats know, and its action clipped."""

    def __init__(self, policy: policies.ActorPolicy) -> None:
        super().__init__()
        self.actor, self.keys = policy.actor, policy.observe

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.actor(dict(zip(self.keys, inputs, strict=True))).clamp(-1.0, 1.0)


def contract(policy: policies.ActorPolicy) -> dict[str, Any]:
    """Return what a caller must know: keys, shapes, meaning and order of the inputs, and what the output is."""
    task = make_task(policy.task)
    meaning = {
        "proprio": f"the last {PROPRIO_STEPS} pairs (joint positions, joint targets), oldest first (rad)",
        "history": f"the last {HISTORY_STEPS} pairs (joint positions, joint targets), oldest first (rad)",
    }
    return {
        "task": policy.task,
        "rate_hz": 1 / task.control_dt,
        "joints": list(JOINTS),
        "inputs": [
            {"name": key, "shape": ["batch", *shape], "dtype": "float32", "meaning": meaning.get(key, "docs/tasks.md")}
            for key, shape in policy.shapes.items()
        ],
        "output": {
            "name": "action", "shape": ["batch", len(JOINTS)], "dtype": "float32", "bounds": [-1.0, 1.0],
            "meaning": "a joint's target moves by action_scale times its action, unless the joint is locked",
        },
        "action_scale_rad": task.action_scale,
        "locked_joints": [JOINTS[k] for k in task.locked_joints],
        "thumb_bend_range_rad": list(task.thumb_bend_range),
        "start": "fill every pair with the start pose, as position and as target",
        "normalisation": "inside the network",
        "card": policy.card,
    }  # fmt: skip


def export(policy: policies.ActorPolicy, folder: Path) -> dict[str, float]:
    """Write `policy.ts`, `policy.onnx` and `contract.json` into a folder.

    Returns:
        The largest difference of each format's actions from the policy's on random observations.

    Raises:
        RuntimeError: a format's actions differ by more than `TOLERANCE`.
        ImportError: the packages of the extra `export` are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(program.missing(error.name or "onnx", "exporting")) from error
    folder.mkdir(parents=True, exist_ok=True)
    network = _Positional(policy).eval()
    generator = torch.Generator().manual_seed(0)
    probe = {key: torch.randn(7, *shape, generator=generator) for key, shape in policy.shapes.items()}
    inputs, expected = tuple(probe.values()), policy.act(probe)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters warn of their own future
        script = torch.jit.trace(network, inputs)
        with replacing(folder / "policy.ts") as beside:
            torch.jit.save(script, str(beside))
        with replacing(folder / "policy.onnx") as beside:
            torch.onnx.export(
                network, inputs, beside, input_names=list(probe), output_names=["action"], dynamo=True,
                dynamic_shapes={"inputs": ({0: torch.export.Dim.DYNAMIC},) * len(inputs)},
                external_data=False, verbose=False,
            )  # fmt: skip
    write_json(contract(policy), folder / "contract.json")
    session = onnxruntime.InferenceSession(folder / "policy.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(["action"], {key: value.numpy() for key, value in probe.items()})
    differences = {
        "TorchScript": float((torch.jit.load(str(folder / "policy.ts"))(*inputs).detach() - expected).abs().max()),
        "ONNX": float((torch.from_numpy(found) - expected).abs().max()),
    }
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise RuntimeError(f"the actions of the {name} export differ from the policy's by {difference:.2g}")
    return differences


@dataclass(kw_only=True)
class Args:
    """Export a policy as TorchScript and ONNX, with a JSON of what goes in and comes out."""

    policy: str
    """Name of a shipped policy, such as nut-student, or the path of a policy file."""
    out: Path
    """Folder to write policy.ts, policy.onnx and contract.json into."""


def _export(args: Args) -> int:
    differences = export(policies.load(args.policy), args.out)
    for name, difference in differences.items():
        print(f"{name}: actions equal to within {difference:.1e}")
    print(f"written: {args.out}")
    return Status.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("baselines.export", Args, _export, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
