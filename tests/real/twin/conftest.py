from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import mujoco
import numpy as np
import pytest

from real.twin.objects.nut import Nut, NutParameters, add_nut
from real.twin.objects.screwdriver import Screwdriver, ScrewdriverParameters, add_screwdriver
from real.twin.plant import Plant, PlantParameters


class NoFingers:
    """Fingertips that touch nothing."""

    normal_force = np.zeros(5)


@dataclass
class Bench:
    """A nut or a screwdriver without robot, for wrenches."""

    model: mujoco.MjModel
    data: mujoco.MjData
    object: Any

    def step(self) -> None:
        self.object.before_step()
        mujoco.mj_step(self.model, self.data)
        self.object.after_step(NoFingers())

    def position(self, joint: str) -> float:
        return float(self.data.qpos[self.model.joint(joint).qposadr[0]])


def _empty_spec() -> mujoco.MjSpec:
    spec = mujoco.MjSpec()
    spec.compiler.degree = False
    spec.option.timestep = Plant.TIMESTEP
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10.0
    for name in ("nut", "metal", "fixture"):
        spec.add_material(name=name)
    return spec


@pytest.fixture
def nut_bench():
    """Build a nut on its bolt, with a speed-controlled wrench on it if asked for."""

    def build(parameters: NutParameters, shape: str = "hexagon", *, wrench: bool = False) -> Bench:
        spec = _empty_spec()
        add_nut(spec, spec.worldbody.add_body(name="object"), shape, parameters)
        if wrench:
            actuator = spec.add_actuator(name="wrench", target="nut", trntype=mujoco.mjtTrn.mjTRN_JOINT)
            actuator.set_to_velocity(kv=1.0)
        model = spec.compile()
        data = mujoco.MjData(model)
        return Bench(model, data, Nut(model, data, parameters, np.random.default_rng(0)))

    return build


@pytest.fixture
def driver_bench():
    """Build a screwdriver on its screw that nobody holds, or a person for as long as asked for."""

    def build(parameters: ScrewdriverParameters, shape: str = "octagon", *, held: bool = False) -> Bench:
        spec = _empty_spec()
        add_screwdriver(spec, spec.worldbody.add_body(name="object"), shape, parameters)
        model = spec.compile()
        data = mujoco.MjData(model)
        mujoco.mj_forward(model, data)
        bench = Bench(model, data, Screwdriver(model, data, parameters, np.random.default_rng(0)))
        if not held:
            bench.object.release()
        return bench

    return build


@pytest.fixture
def nominal_plant():
    """Build a plant with nominal parameters, of which some sets are changed."""

    def build(task: str = "nut", shape: str | None = None, *, seed: int = 0, **changes: dict[str, Any]) -> Plant:
        parameters = PlantParameters.nominal(task)
        sets = {name: replace(getattr(parameters, name), **fields) for name, fields in changes.items()}
        return Plant(task, shape, parameters=replace(parameters, **sets), seed=seed)

    return build


@pytest.fixture
def quiet_sensor():
    """Parameters of an arm whose force sensor has no errors."""
    names = ("force_bias", "torque_bias", "force_noise", "torque_noise", "force_drift")
    return dict.fromkeys(names, 0.0)
