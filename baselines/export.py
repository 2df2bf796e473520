"""Write a policy as TorchScript and ONNX, for programs that have neither this package nor Python.

`python -m baselines.export --policy nut-student --out nut-student`
"""

from __future__ import annotations

import difflib
import io
import logging
import sys
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from baselines import policies
from baselines.bc import contract as clones
from baselines.bc.policy import ClonePolicy, is_clone
from baselines.bc.policy import load as load_clone
from baselines.bc.policy import shipped as shipped_clones
from baselines.contract import contract
from dexscrew_envs import ambient, extras, program
from dexscrew_envs.files import check_folder, claimed, holds_nothing, write_bytes, write_json
from dexscrew_envs.program import Status
from dexscrew_envs.tasks import make_task

TOLERANCE = 1e-5
"""The exported networks must give what the policy gives to within this."""
FILES = ("policy.ts", "policy.onnx", "contract.json")
"""What an export writes."""


class _Positional(nn.Module):
    """The actor with its keys as positional arguments, which is what both formats know, and its action clipped."""

    def __init__(self, policy: policies.ActorPolicy) -> None:
        super().__init__()
        self.actor, self.keys = policy.actor, policy.observe

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.actor(dict(zip(self.keys, inputs, strict=True))).clamp(-1.0, 1.0)


@dataclass(frozen=True)
class Exportable:
    """What an export is made from."""

    network: nn.Module
    """Takes the inputs by position."""
    probe: Mapping[str, Tensor]
    """Inputs by name, on which the formats are compared; the first axis is the batch."""
    expected: Tensor
    """What the policy gives for them."""
    output: str
    """Name of the output."""
    contract: dict[str, Any]


def exportable(policy: policies.ActorPolicy | ClonePolicy) -> Exportable:
    """Return what an export of a policy is made from.

    Raises:
        ValueError: the task is no longer what the policy was made for.
    """
    if isinstance(policy, ClonePolicy):
        clone, probe = clones.ExportedClone(policy).eval(), clones.probe(policy, 7)
        with torch.no_grad():
            return Exportable(clone, probe, clone(*probe.values()), clones.OUTPUT, clones.contract(policy))
    policy.check_task(make_task(policy.task, **policy.task_fields))
    generator = torch.Generator().manual_seed(0)
    probe = {
        key: torch.randn(7, *shape, generator=generator, dtype=torch.float32) for key, shape in policy.shapes.items()
    }
    return Exportable(_Positional(policy).eval(), probe, policy.act(probe), "action", contract(policy))


@ambient.plain()
def export(policy: policies.ActorPolicy | ClonePolicy, folder: Path) -> dict[str, float]:
    """Write `policy.ts`, `policy.onnx` and `contract.json` into a folder, each whole or not at all.

    The files hold no path of this machine and no line of this package's code.

    Returns:
        The largest difference of each format's output from the policy's on random observations.

    Raises:
        ValueError: the task is no longer what the policy was made for.
        RuntimeError: a format's output differs by more than `TOLERANCE`; nothing was written.
        ImportError: the packages of the extra `export` are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(extras.missing(error.name or "onnx", "exporting")) from error
    made = exportable(policy)
    inputs = tuple(made.probe.values())
    script, onnx_bytes = _torchscript(made.network, inputs), _onnx(made)
    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    (found,) = session.run([made.output], {key: value.numpy() for key, value in made.probe.items()})
    differences = {
        "TorchScript": float((torch.jit.load(io.BytesIO(script))(*inputs).detach() - made.expected).abs().max()),
        "ONNX": float((torch.from_numpy(found) - made.expected).abs().max()),
    }
    for name, difference in differences.items():
        if not difference <= TOLERANCE:
            raise RuntimeError(f"the {name} export differs from the policy by {difference:.2g}")
    write_bytes(script, folder / "policy.ts")
    write_bytes(onnx_bytes, folder / "policy.onnx")
    write_json(made.contract, folder / "contract.json")
    return differences


def _torchscript(network: nn.Module, inputs: tuple[Tensor, ...]) -> bytes:
    """Return the network as TorchScript, without the records from which it would quote our source by path."""
    whole, stripped = io.BytesIO(), io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own future
        torch.jit.save(torch.jit.trace(network, inputs), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(stripped, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))  # uncompressed, without a date
    return stripped.getvalue()


def _onnx(made: Exportable) -> bytes:
    """Return the network as ONNX, without the stack traces and names that the exporter notes at every node."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns of packages that no policy needs
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                made.network, tuple(made.probe.values()), input_names=list(made.probe), output_names=[made.output],
                dynamo=True, verbose=False,
                dynamic_shapes={"inputs": ({0: torch.export.Dim("batch")},) * len(made.probe)},
            )  # fmt: skip
    finally:
        log.setLevel(level)
    assert program is not None
    model = program.model_proto
    _strip(model)
    return model.SerializeToString()


def _strip(message: Any) -> None:
    """Clear the notes of an ONNX message and of all that it holds."""
    for field, value in message.ListFields():
        if field.name in ("metadata_props", "doc_string"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)


@dataclass(kw_only=True)
class Args:
    """Export a policy as TorchScript and ONNX, with a JSON of what goes in and comes out."""

    policy: str
    """Name of a shipped policy, such as nut-student, or the path of the file of a policy or a clone."""
    out: Path
    """Folder to write policy.ts, policy.onnx and contract.json into: a new one, or that of an earlier export."""
    hand: str = ""
    """File that makes the policy's hand, if that is one of your own; see docs/extend.md."""


def _export(args: Args) -> int:
    check_folder(args.out)
    if not holds_nothing(args.out, besides=FILES):
        raise ValueError(f"{args.out} holds other things than an export; give another folder with --out")
    _check_known(args.policy)
    clone = is_clone(args.policy)
    policy = load_clone(args.policy) if clone else policies.load_actor(args.policy, args.hand)
    if isinstance(policy, ClonePolicy):
        policies.check_hand(args.policy, policy.interface["hand"], args.hand)
    with claimed(args.out):  # the three files are of one policy
        differences = export(policy, args.out)
    for name, difference in differences.items():
        print(f"{name}: equal to within {difference:.1e}")
    print(f"written: {args.out}")
    return Status.DONE


def _check_known(name: str) -> None:
    """Refuse what is neither the name of a policy nor looks like a file, with what may have been meant."""
    known = (*policies.shipped(), *shipped_clones())
    if name in known or Path(name).suffix or Path(name).is_file():
        return
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"unknown policy {name!r}{hint}; the shipped ones are {', '.join(known)}, and a file is given by its path, "
        "such as runs/nut-bc/policy.pt"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    return program.main("baselines.export", Args, _export, argv, __doc__)


if __name__ == "__main__":
    sys.exit(main())
