"""The hand is a record: no joint, finger or size of one stands outside `hands/`, the drivers and the twin's hand."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from dexscrew_envs.hands.xhand import FINGERS, JOINTS

ROOT = Path(__file__).parent.parent
ALLOWED = (
    "dexscrew_envs/hands/",
    "real/hardware/",
    "real/hand_protocol.py",
    "real/twin/hand.py",
    "real/twin/scene.py",
    "real/twin/network/",  # the vendor's SDK, and the wire to it
)
OLD_NAME = ("baselines/policies.py", "thumb_bend")
"""Policy files from before hands were records have a field of this joint's name."""
OTHER_MEANINGS = {
    "baselines/data/export/lerobot.py": {"index", "index_columns"},  # columns of its tables
    "real/teleop/web/keyboard.py": {5},  # the last entry of a wrist's velocity
}
"""Words and numbers that mean something else there."""
NAMES = {*JOINTS, *FINGERS}
SIZES = {len(JOINTS), len(FINGERS), 2 * len(JOINTS)}
FILES = [
    path
    for package in ("dexscrew_envs", "baselines", "real", "benchmark")
    for path in sorted((ROOT / package).rglob("*.py"))
    if not str(path.relative_to(ROOT)).startswith(ALLOWED) and not path.name.startswith("test_")
]
_ARRAYS = {"zeros", "ones", "full", "empty", "randn", "rand", "repeat", "tile", "expand", "view", "reshape", "range"}


def names_in(tree: ast.AST) -> list[str]:
    """Return the constants that are the name of a joint or finger, or begin or end with one and an underscore."""
    constants = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return [text for text in constants if text in NAMES or any(text.startswith(f"{name}_") for name in NAMES)]


def sizes_in(tree: ast.AST) -> list[tuple[int, int]]:
    """Return line and value of bare sizes of a hand: in shapes, and in comparisons with a length."""
    found = []
    for node in ast.walk(tree):
        places: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            places = node.args if name in _ARRAYS or name == "Box" else []
        elif isinstance(node, ast.Compare):
            both = [node.left, *node.comparators]
            sized = any(isinstance(side, ast.Call) and ast.unparse(side.func) == "len" for side in both)
            shaped = any(isinstance(side, ast.Attribute) and side.attr == "shape" for side in both)
            places = both if sized or shaped else []
        elif isinstance(node, ast.Dict):
            places = [value for value in node.values if isinstance(value, ast.Tuple)]
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            places = [side for side in (node.left, node.right) if isinstance(side, ast.Constant)]
            places = places if isinstance(node.left, (ast.List, ast.Tuple)) else []
        for place in places:
            parts = place.elts if isinstance(place, ast.Tuple) else [place]
            found += [
                (part.lineno, part.value) for part in parts if isinstance(part, ast.Constant) and part.value in SIZES
            ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_outside_names_a_joint_or_its_number(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = str(path.relative_to(ROOT))
    others = OTHER_MEANINGS.get(place, set())
    names = [name for name in names_in(tree) if (place, name.removesuffix("_range")) != OLD_NAME and name not in others]
    assert not names, f"{path} names parts of a hand; take them from the task's hand"
    sizes = [(line, size) for line, size in sizes_in(tree) if size not in others]
    assert not sizes, f"{path} has sizes of a hand (line, number): {sizes}; derive them"


@pytest.mark.parametrize(
    "code",
    [
        'x = "index_bend"', 'hand["thumb"]', 'site = "ring_tip"', "np.zeros(12)", "torch.ones(4, 12)",
        "np.zeros((5, 3))", "Box(-1, 1, (3, 24))", "len(q) == 12", "assert q.shape == (12,)",
        'sizes = {"lower": (12,)}', "[0.0] * 12",
    ],
)  # fmt: skip
def test_each_form_is_found(code):
    tree = ast.parse(code)
    assert names_in(tree) or sizes_in(tree)


@pytest.mark.parametrize("code", ["steps = 12", "np.zeros(6)", 'x = "thumbnail"', "regular_polygon(12, 0.02)"])
def test_other_numbers_and_names_are_left_alone(code):
    tree = ast.parse(code)
    assert not names_in(tree) and not sizes_in(tree)
