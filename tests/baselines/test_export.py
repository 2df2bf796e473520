from __future__ import annotations

import ast
import json
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from baselines import export, policies
from baselines.contract import contract
from baselines.policies import ActorPolicy
from dexscrew_envs.files import claimed
from dexscrew_envs.hands.xhand import JOINTS
from dexscrew_envs.vector_env import DexScrewVectorEnv

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
import contract_driver  # noqa: E402 - it needs onnxruntime
from contract_driver import Driver  # noqa: E402

pytestmark = pytest.mark.slow

SHAPES = {"proprio": (3, 24), "history": (30, 24)}


def make_policy(shapes: dict[str, tuple[int, ...]]) -> ActorPolicy:
    torch.manual_seed(0)
    actor = policies.build_actor(shapes)
    actor.body.update_norms({key: 2 + torch.randn(50, *shape) for key, shape in shapes.items()})
    with torch.no_grad():
        actor.head.weight.mul_(5)  # so that some actions are clipped
    return ActorPolicy(actor, "nut", {"seed": 3})


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "student"
    policies.save(make_policy(SHAPES), folder.parent / "policy.pt")
    assert export.main(["--policy", str(folder.parent / "policy.pt"), "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("count", [1, 3, 64])
def test_both_formats_give_the_actions_of_the_policy_for_any_batch(exported, count):
    torch.manual_seed(count)
    seen = {key: 2 + 3 * torch.randn(count, *shape) for key, shape in SHAPES.items()}
    expected = make_policy(SHAPES).act(seen)
    assert (expected.abs() == 1).any() and (expected.abs() < 1).any()
    script = torch.jit.load(str(exported / "policy.ts"))(*seen.values())
    session = onnxruntime.InferenceSession(exported / "policy.onnx", providers=["CPUExecutionProvider"])
    (onnx,) = session.run(["action"], {key: value.numpy() for key, value in seen.items()})
    torch.testing.assert_close(script, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.from_numpy(onnx), expected, atol=1e-5, rtol=0)


# -- the contract -----------------------------------------------------------------------------------------------------

STILL = {"observation_noise": (0.0, 0.0), "action_noise": (0.0, 0.0), "push_probability": 0.0}
STEPS = 80


@pytest.fixture(scope="module", params=["nut-student", "screwdriver-student"])
def student(request, tmp_path_factory) -> tuple[ActorPolicy, Path]:
    folder = tmp_path_factory.mktemp("contract")
    policy = policies.load(request.param)
    export.export(policy, folder)
    return policy, folder


def plant_of(policy: ActorPolicy) -> DexScrewVectorEnv:
    env = DexScrewVectorEnv(
        policy.task, 6, observe=policy.observe, autoreset=False, num_threads=1, **policy.task_fields | STILL
    )
    env.reset(seed=3)
    return env


def turns_of(driver: Driver, policy: ActorPolicy) -> np.ndarray:
    """Let the driver move the simulated hand, which gives joint positions and takes joint targets, and nothing else."""
    plant = plant_of(policy).sim
    driver.start(plant.read().joint_pos.numpy())
    for _ in range(STEPS):
        plant.step(torch.from_numpy(driver.act()).float(), torch.zeros(6, 3))
        driver.see(plant.read().joint_pos.numpy())
    return plant.read().nut_angle.numpy() / (2 * np.pi)


def test_contract_and_onnx_alone_turn_the_nut_as_the_policy_does(student):
    policy, folder = student
    env = plant_of(policy)
    observation, _ = env.reset(seed=3)
    for _ in range(STEPS):
        observation, *_, infos = env.step(policy.act(observation))
    expected = infos["rotations"].numpy()
    assert np.median(expected) > 0.8
    # Contacts multiply what rounding differs by, so one plant may go its own way; half of them do not.
    assert np.median(np.abs(turns_of(Driver(folder), policy) - expected)) < 0.001
    wrong = Driver(folder)
    wrong.step_size = 0.9 * wrong.step_size
    assert np.median(np.abs(turns_of(wrong, policy) - expected)) > 0.05  # so the turns tell another driver


def test_the_driver_imports_nothing_of_the_package():
    names = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(Path(contract_driver.__file__).read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert names == {"__future__", "json", "pathlib", "numpy", "onnxruntime"}


def test_the_contract_holds_start_limits_and_steps_of_every_joint(exported):
    found = json.loads((exported / "contract.json").read_text())
    assert (found["format"], found["version"], found["task"], found["rate_hz"]) == ("dexscrew-contract", 2, "nut", 20)
    assert [joint["name"] for joint in found["joints"]] == list(JOINTS)
    assert [joint["name"] for joint in found["joints"] if joint["locked"]] == ["pinky_1", "pinky_2", "ring_1", "ring_2"]
    by_name = {joint["name"]: joint for joint in found["joints"]}
    assert by_name["index_1"] == {
        "name": "index_1", "start_rad": 1.1, "range_rad": pytest.approx([0, 1.919], abs=1e-3),
        "target_range_rad": pytest.approx([0, 1.919], abs=1e-3), "step_rad": 0.04167, "locked": False,
    }  # fmt: skip
    assert by_name["thumb_bend"]["target_range_rad"] == pytest.approx([0, 1.83])
    assert by_name["ring_1"]["step_rad"] == 0
    for joint in found["joints"]:
        assert joint["target_range_rad"][0] <= joint["start_rad"] <= joint["target_range_rad"][1]
    assert [(entry["name"], entry["shape"], entry["dtype"], entry["pairs"]) for entry in found["inputs"]] == [
        ("proprio", ["batch", 3, 24], "float32", 3), ("history", ["batch", 30, 24], "float32", 30)
    ]  # fmt: skip
    assert found["output"]["name"] == "action" and found["output"]["bounds"] == [-1.0, 1.0]
    assert found["card"] == {"seed": 3}
    found = {entry.name for entry in exported.iterdir() if entry.name != ".lock"}
    assert found == {"policy.ts", "policy.onnx", "contract.json"}


def test_the_contract_is_that_of_the_task_in_which_the_policy_was_trained():
    policy = make_policy({"proprio": (3, 24)})
    policy.task_fields = {"action_scale": 0.03, "locked_joints": (0,), "proprio_delay": 1}
    found = contract(policy)
    assert [joint["step_rad"] for joint in found["joints"]] == [0.0, *[0.03] * 11]
    assert found["inputs"][0]["delay"] == 1


def test_the_contract_of_an_oracle_names_every_part_of_what_only_a_simulator_knows():
    policy = policies.load("nut-oracle")
    slices = {entry["name"]: entry for entry in contract(policy)["inputs"]}["privileged"]["slices"]
    ends = [(entry["from"], entry["to"]) for entry in slices]
    assert ends[0][0] == 0 and all(left[1] == right[0] for left, right in pairwise(ends))
    assert ends[-1][1] == policy.shapes["privileged"][0] and all(entry["meaning"] for entry in slices)


# -- what leaves the machine ------------------------------------------------------------------------------------------


def everything_in(path: Path) -> bytes:
    """The bytes of a file, and those of what it holds if it is a zip archive, as policies and TorchScript are."""
    found = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            found += b"".join(entry.filename.encode() + archive.read(entry) for entry in archive.infolist())
    return found


def test_no_file_tells_whose_machine_it_is_from(tmp_path):
    home, checkout = Path.home(), Path(export.__file__).parents[1]
    policy = make_policy(SHAPES)
    policy.card = {
        "command": f"python -m baselines.student --oracle {home}/runs/oracle/policy.pt --folder /data/jane.doe/x",
        "notes": [f"{checkout}/README.md", "'/mnt/jane.doe/my runs/policy.pt'", "../../jane.doe/policy.pt"],
    }
    policies.save(policy, tmp_path / "policy.pt")
    export.export(policies.load(tmp_path / "policy.pt"), tmp_path)
    secrets = [b"jane.doe", b"site-packages", b"stack_trace", b'export.py", line', b"self.actor("]
    secrets += [str(folder).encode() for folder in {home, checkout, tmp_path, Path(torch.__file__).parent}]
    for name in ("policy.pt", "policy.ts", "policy.onnx", "contract.json"):
        found = everything_in(tmp_path / name)
        assert [secret for secret in secrets if secret in found] == [], name
    assert b"debug_pkl" not in everything_in(tmp_path / "policy.ts")
    card = json.loads((tmp_path / "contract.json").read_text())["card"]
    assert card["command"] == "python -m baselines.student --oracle policy.pt --folder x"
    assert card["notes"] == ["README.md", "'policy.pt'", "policy.pt"]


def test_the_contract_is_strict_json(tmp_path):
    policy = make_policy({"proprio": (3, 24)})
    policy.card = {"score": float("nan"), "best": [1.0, float("inf")]}
    export.export(policy, tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found = json.loads((tmp_path / "contract.json").read_text(), parse_constant=refuse)
    assert found["card"] == {"score": None, "best": [1.0, None]}


@pytest.mark.parametrize("broken", ["policy.ts", "policy.onnx", "contract.json"])
def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch, broken):
    for name in ("policy.ts", "policy.onnx", "contract.json"):
        (tmp_path / name).write_text("old")
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if broken in path.name:
            write(path, content[:10])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        export.export(make_policy({"proprio": (3, 24)}), tmp_path)
    assert (tmp_path / broken).read_text() == "old"
    assert {entry.name for entry in tmp_path.iterdir()} == {"policy.ts", "policy.onnx", "contract.json"}


def test_a_policy_with_one_input_can_be_exported(tmp_path):
    differences = export.export(make_policy({"proprio": (3, 24)}), tmp_path)
    assert all(difference <= export.TOLERANCE for difference in differences.values())


def test_an_export_that_acts_differently_is_an_error_and_writes_nothing(tmp_path, monkeypatch):
    class Wrong(export._Positional):
        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return super().forward(*inputs) * 0.99

    monkeypatch.setattr(export, "_Positional", Wrong)
    with pytest.raises(RuntimeError, match="TorchScript export differs"):
        export.export(make_policy({"proprio": (3, 24)}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_policy_is_an_error(tmp_path, capsys):
    assert export.main(["--policy", "nut-studnet", "--out", str(tmp_path / "out")]) == 2
    assert "unknown policy 'nut-studnet'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_misspelt_clone_is_told_by_the_closest_of_all_names(tmp_path, capsys):
    assert export.main(["--policy", "nut-bcx", "--out", str(tmp_path / "out")]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "unknown policy 'nut-bcx'; did you mean 'nut-bc'?" in error
    assert all(name in error for name in ("nut-student", "nut-oracle", "screwdriver-bc", "runs/nut-bc/policy.pt"))


@pytest.mark.parametrize("name", ["episode_000000.h5", "policy.pt", "thesis.tex"])
def test_a_folder_that_holds_something_else_is_refused(tmp_path, capsys, name):
    (tmp_path / name).write_text("years of work")
    (tmp_path / "contract.json").write_text("{}")
    assert export.main(["--policy", "nut-student", "--out", str(tmp_path)]) == 2
    assert "holds other things than an export; give another folder with --out" in capsys.readouterr().err
    assert {entry.name for entry in tmp_path.iterdir()} == {name, "contract.json"}


def test_an_export_takes_the_place_of_an_earlier_one(exported, capsys):
    before = (exported / "policy.onnx").stat().st_mtime_ns
    assert export.main(["--policy", str(exported.parent / "policy.pt"), "--out", str(exported)]) == 0
    assert (exported / "policy.onnx").stat().st_mtime_ns > before


def test_a_second_export_into_a_folder_is_refused_while_the_first_runs(tmp_path, capsys):
    with claimed(tmp_path / "out"):
        assert export.main(["--policy", "nut-student", "--out", str(tmp_path / "out")]) == 2
    assert "is in use by process" in capsys.readouterr().err
    assert not (tmp_path / "out" / "policy.ts").exists()
