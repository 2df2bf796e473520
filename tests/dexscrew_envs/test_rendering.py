from __future__ import annotations

import contextlib
import resource
import sys

import gymnasium
import mujoco
import numpy as np
import pytest
import torch

from dexscrew_envs import opengl
from dexscrew_envs.env import DexScrewEnv
from dexscrew_envs.rendering import check_size, video_writer

pytestmark = pytest.mark.slow

SIZE = (60, 80)


def is_orange(frame):
    """Return which pixels show the nut, the only thing in the scene of its colour."""
    red, green, blue = np.moveaxis(frame.astype(int), 2, 0)
    return (red > green + 25) & (green > blue + 25)


def with_variant(sim, env, variant):
    """Return model and data of an environment that takes on another shape or scale, and nothing else."""
    model, data = sim.batch.get_model(env), sim.batch.get_data(env)
    variants = sim.scene.variants
    for field, values in variants.geom_fields.items():
        getattr(model, field)[variants.geoms] = values[variant]
    mujoco.mj_forward(model, data)
    return model, data


def variant_of(sim, shape, scale):
    variants = sim.scene.variants
    return int(np.flatnonzero((variants.shape == variants.shapes.index(shape)) & np.isclose(variants.scale, scale))[0])


@pytest.fixture
def still(make_env):
    """Two environments in the same state, with all nuts to choose from."""
    env = make_env(
        "nut", 2, randomize=False, render_mode="rgb_array", render_size=SIZE,
        shape=("triangle", "square", "cross"), scales=(0.8, 1.2),
    )  # fmt: skip
    env.reset(seed=0)
    return env


@pytest.mark.usefixtures("opengl")
def test_frames_have_their_shape_and_show_something(still):
    frames = still.render()
    assert isinstance(frames, tuple)
    assert len(frames) == 2
    for frame in frames:
        assert frame.shape == (*SIZE, 3)
        assert frame.dtype == np.uint8
        assert frame.std() > 10
        assert 0.003 < is_orange(frame).mean() < 0.5


@pytest.mark.usefixtures("opengl")
def test_frames_differ_between_states(still):
    first = still.frame(0)
    np.testing.assert_array_equal(still.frame(0), first)
    closing = torch.zeros(2, 12)
    closing[0, [1, 3]] = -1.0
    for _ in range(5):
        still.step(closing)
    assert np.abs(still.frame(0).astype(int) - first).max() > 30


@pytest.mark.usefixtures("opengl")
def test_frames_are_arrays_of_their_own(still):
    first = still.frame(0)
    kept = first.copy()
    still.sim.batch.qpos[0, 1:5] = 0.0
    assert not np.array_equal(still.frame(0), kept)
    np.testing.assert_array_equal(first, kept)


@pytest.mark.usefixtures("opengl")
def test_frames_show_the_turn_of_the_nut(still):
    triangle = variant_of(still.sim, "triangle", 1.2)
    still.frame(0)
    model, data = with_variant(still.sim, 0, triangle)
    first = is_orange(still._renderer.draw(model, data))
    data.qpos[12] = 0.5
    mujoco.mj_forward(model, data)
    assert (is_orange(still._renderer.draw(model, data)) != first).sum() > 10


@pytest.mark.usefixtures("opengl")
def test_frames_show_shape_and_scale(still):
    still.frame(0)
    renderer, sim = still._renderer, still.sim
    frames = {
        key: renderer.draw(*with_variant(sim, 0, variant_of(sim, *key)))
        for key in (("triangle", 0.8), ("triangle", 1.2), ("square", 1.2), ("cross", 1.2))
    }
    small, large = (is_orange(frames["triangle", scale]).sum() for scale in (0.8, 1.2))
    assert large > 1.3 * small
    for other in ("square", "cross"):  # thin nuts, where the training nut is thick
        assert is_orange(frames[other, 1.2]).sum() < 0.8 * large
    assert not np.array_equal(frames["square", 1.2], frames["cross", 1.2])


@pytest.mark.usefixtures("opengl")
def test_environments_of_one_batch_show_their_own_nut(make_env):
    env = make_env("nut", 6, render_size=SIZE, shape=("triangle", "hexagon"), scale_noise=0.0)
    env.reset(seed=0)
    thick = np.array([env.sim.batch.get_model(k).geom("nut_0").size.max() > 0.03 for k in range(6)])  # half of 97.5 mm
    assert 0 < thick.sum() < 6
    areas = np.array([is_orange(env.frame(k)).sum() for k in range(6)])
    assert areas[thick].min() > areas[~thick].max()


@pytest.mark.usefixtures("opengl")
def test_single_environment_gives_one_frame():
    env = DexScrewEnv("nut", render_mode="rgb_array", render_size=SIZE, num_threads=1)
    env.reset(seed=0)
    assert env.render().shape == (*SIZE, 3)
    env.close()


@pytest.mark.usefixtures("opengl")
def test_free_camera_and_unknown_camera(make_env):
    env = make_env("nut", 1, camera=None, render_size=SIZE)
    env.reset(seed=0)
    assert env.frame().std() > 5
    with pytest.raises(ValueError, match="unknown camera 'nowhere'; choose from side, or None for a free one"):
        make_env("nut", 1, camera="nowhere")


@pytest.mark.parametrize("env", [-1, 2, 0.0, True, "0", None])
def test_frame_of_an_environment_that_is_not_there_is_refused(still, env):
    with pytest.raises(ValueError, match="env must be an integer of 0 to 1, got"):
        still.frame(env)


def test_without_render_mode_there_is_no_frame(make_env):
    env = make_env("nut", 2)
    env.reset(seed=0)
    assert env.render() is None
    single = DexScrewEnv("nut", num_threads=1)
    single.reset(seed=0)
    assert single.render() is None


@pytest.mark.parametrize("error", [ImportError, AttributeError, RuntimeError, mujoco.FatalError])
def test_missing_opengl_is_one_exception_with_the_reason(make_env, monkeypatch, error):
    def fail(*_, **__):
        raise error("no GL here")

    monkeypatch.setattr(mujoco, "Renderer", fail)
    monkeypatch.setattr(opengl, "_candidates", lambda: ("",))
    env = make_env("nut", 1, render_mode="rgb_array")
    env.reset(seed=0)
    with pytest.raises(gymnasium.error.DependencyNotInstalled, match=r"no OpenGL to draw with: no GL here$"):
        env.render()
    env.step(torch.zeros(1, 12))  # it still runs
    env.close()


def test_video_without_imageio_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "imageio", None)
    monkeypatch.setitem(sys.modules, "imageio.v2", None)
    with (
        pytest.raises(gymnasium.error.DependencyNotInstalled, match=r"pip install 'dexscrew\[train\]'"),
        video_writer(tmp_path / "video.mp4", 20),
    ):
        pytest.fail("it has no writer to give")


def test_video_holds_the_frames(tmp_path):
    imageio = pytest.importorskip("imageio.v2")
    pytest.importorskip("imageio_ffmpeg")
    frames = [np.full((48, 64, 3), level, np.uint8) for level in (0, 120, 240)]
    path = tmp_path / "new" / "video.mp4"
    with video_writer(path, 20) as append:
        for frame in frames:
            append(frame)
    with imageio.get_reader(path) as reader:
        assert reader.get_meta_data()["fps"] == 20
        seen = [frame.mean() for frame in reader]
    np.testing.assert_allclose(seen, [0, 120, 240], atol=8)


@pytest.mark.parametrize("size", [(1, 1), (1440, 1920), [480, 640], (np.int64(480), np.int32(640))])
def test_sizes_that_can_be_drawn(size):
    check_size(size)


@pytest.mark.parametrize(
    "size",
    [(0, 1), (1, 0), (-1, 5), (1441, 1), (1, 1921), (480.0, 640), (480, np.float32(640)), (True, True), (1, np.True_),
     ("480", "640"), (np.nan, 1), (480,), (480, 640, 3), 480, None, "ab", {480, 640}],
    ids=str,
)  # fmt: skip
def test_sizes_that_cannot_be_drawn_are_named(size):
    with pytest.raises(ValueError, match=r"at most 1440 by 1920 pixels, two integers of at least 1, got ") as raised:
        check_size(size)
    assert repr(size) in str(raised.value)


def test_a_video_that_ffmpeg_could_not_finish_is_an_error(tmp_path, monkeypatch):
    """It fails in silence on a full disk; here its file may not grow."""
    pytest.importorskip("imageio_ffmpeg")
    noise = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)
    path = tmp_path / "v.mp4"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (hard, 20_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with (
                contextlib.nullcontext()
                if limit == hard
                else pytest.raises(OSError, match=r"did not finish|Broken pipe"),
                video_writer(path, 20) as show,
            ):
                for frame in noise:
                    show(frame)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert 0 < path.stat().st_size <= 20_480
