from __future__ import annotations

import json

import numpy as np
import pytest

from benchmark import paper
from benchmark.trial_pictures import _beside, policy_colors
from benchmark.trial_report import p_text, paper_note, spread, write_report
from benchmark.trials import Trial


def trials(progress):
    return [Trial(seed, p, p == 1, 60.0, "complete" if p == 1 else "slip") for seed, p in enumerate(progress)]


RESULTS = {
    paper.FULL: {"square": trials([1.0] * 10), "star": trials([1.0] * 10)},
    "mine": {"square": trials([0.5] * 9 + [1.0]), "star": trials([1.0] * 10)},
}


def test_the_report(tmp_path):
    text = write_report(RESULTS, "nut", 240.0, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "contrasts.json", "progress.png", "report.md", "summary.json", "times.png",
    ]  # fmt: skip
    assert (tmp_path / "out" / "report.md").read_text() == text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    header = rows[0]
    assert header[2:5] == ["theirs, hardware: progress (%)", "theirs: time (s)", "ours, twin: progress (%)"]
    ours = next(row for row in rows if row[:2] == ["square", paper.FULL])
    assert ours[2:] == ["97.50 ± 7.91", "124.2 ± 33.2", "100.0 ± 0.0", "69 to 100", "10 of 10", "60 ± 0", "60", "a"]
    mine = next(row for row in rows if row[:2] == ["square", "mine"])
    assert mine[2:4] == ["", ""] and mine[-1] == "b" and mine[6:9] == ["1 of 10", "60", "222"]
    against = next(row for row in rows if row[:3] == ["square", paper.FULL, "mine"])
    assert against[3] == "+45.0" and against[6] == "better"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["mine"]["square"]["progress_mean"] == pytest.approx(0.55)
    found = json.loads((tmp_path / "out" / "contrasts.json").read_text())
    assert [one["shape"] for one in found] == ["square", "star", "all shapes"]
    for name in ("progress.png", "times.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_one_policy_and_one_pair(tmp_path):
    alone = write_report({"mine": RESULTS["mine"]}, "screwdriver", 300.0, tmp_path, robot="robot")
    assert "verdict" not in alone and "ours, robot" in alone
    pair = write_report(RESULTS, "nut", 240.0, tmp_path, pairs=[(paper.FULL, "mine")])
    assert "group" not in pair


def test_the_papers_intervals_stand_below():
    assert paper_note(RESULTS, "nut").endswith(f"- {paper.FULL}: square 67 to 100")
    assert paper_note(RESULTS, "screwdriver") == ""
    assert paper_note({"mine": RESULTS["mine"]}, "nut") == ""


def test_numbers_as_text():
    assert spread(97.5, 7.906, 2) == "97.50 ± 7.91"
    assert spread(229.39, None) == "229.4"
    assert spread(None, None) == "none complete"
    assert (p_text(0.0004), p_text(0.0312)) == ("< 0.001", "0.031")


def test_no_dot_covers_another():
    x, y = _beside([1.0, 0.5, 1.0, 0.5, 1.0, 0.0], 3.0)
    assert y == sorted(y)
    points = np.array([x, y]).T
    assert len(np.unique(points, axis=0)) == 6
    assert x[0] == 3.0 and np.mean(x[3:]) == pytest.approx(3.0)


def test_a_policy_keeps_its_colour_among_others():
    alone, together = policy_colors([paper.FULL]), policy_colors(["mine", "yours", paper.FULL])
    assert alone[paper.FULL] == together[paper.FULL]
    assert len(set(together.values())) == 3
    assert len(set(policy_colors([str(k) for k in range(12)]).values())) == 12
    assert len(policy_colors([str(k) for k in range(20)])) == 20


def test_bad_input_is_told_before_anything_is_written(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ValueError, match="within 0 to 50 s"):
        write_report(RESULTS, "nut", 50.0, out)
    assert not out.exists()
    out.write_text("")
    with pytest.raises(ValueError, match="not a folder"):
        write_report(RESULTS, "nut", 240.0, out)


def test_the_widest_interval_stands_where_several_outcomes_fit():
    assert "square 36 to 84" in paper_note({paper.NEITHER: {"square": trials([1.0])}}, "nut")
