"""The scene: hand, bolt and nut as one MuJoCo model, with every shape and scale of the nut in it.

All variants of the nut (a shape at a scale) live in one model as meshes, and a simulation takes on a variant by a few
model fields (`Variants`), so that one batch holds many shapes and an episode can begin with a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from dexscrew_envs.hands import Hand
from dexscrew_envs.shapes import SHAPES, convex_parts, surface_points
from dexscrew_envs.tasks import Task

NUT_JOINT = "nut"
CONTACT_SENSOR = "nut_contact"
LARGEST_FRAME = 1440, 1920
"""Height and width of the largest frame that can be drawn off screen (pixels)."""
_NOMINAL_MASS = 0.05


@dataclass(frozen=True)
class Variants:
    """The variants of the nut, V of them, and the model fields that each sets."""

    shapes: tuple[str, ...]
    """Names of the sampled shapes."""
    shape: NDArray[np.int64]
    """(V,) index into `shapes`."""
    scale: NDArray[np.float64]
    """(V,) scale of the whole object."""
    symmetry: NDArray[np.float64]
    """(V,) order of the rotational symmetry of its shape."""
    points: NDArray[np.float64]
    """(V, 100, 3) points on the nut's surface, in the nut's frame (m)."""
    geoms: NDArray[np.int64]
    """(G,) ids of the geoms whose fields change: the nut's parts, then the bolt's."""
    geom_fields: Mapping[str, NDArray]
    """Model field name to its values (V, G, ...)."""
    nut_position: NDArray[np.float64]
    """(V, 3) position of the nut's frame in the object's (m)."""
    nut_inertia: NDArray[np.float64]
    """(V, 3) diagonal inertia of the nut, per mass, about its frame (m^2)."""


@dataclass(frozen=True)
class Scene:
    """A compiled model and what its users must know of it."""

    spec: mujoco.MjSpec
    model: mujoco.MjModel
    variants: Variants


def scales_of(task: Task) -> NDArray[np.float64]:
    """Return every scale (S,) that the task samples: the nominal ones, each with five evenly spread offsets."""
    offsets = task.scale_noise * np.linspace(-0.8, 0.8, 5) if task.scale_noise else np.zeros(1)
    return (np.asarray(task.scales)[:, None] + offsets).ravel()


def _empty_part() -> NDArray[np.float64]:
    """A half-millimetre tetrahedron: what a shape with few parts has in the place of a further one."""
    return 5e-4 * np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def _hand_spec(hand: Hand) -> mujoco.MjSpec:
    """Return the hand's model, which has all that its record names.

    Raises:
        ValueError: it has not.
    """
    spec = hand.spec()
    bodies, sites = {body.name for body in spec.bodies}, {site.name for site in spec.sites}
    wanted = [("body", hand.palm, bodies)]
    for finger in hand.fingers:
        wanted += [("body", finger.root, bodies), ("body", finger.pad, bodies), ("site", finger.tip, sites)]
    for kind, name, known in wanted:
        if name not in known:
            raise ValueError(f"the model of the hand {hand.name!r} has no {kind} {name!r}; it has "
                             f"{', '.join(sorted(filter(None, known))) or 'none'}")  # fmt: skip
    if not spec.body(hand.palm).mocap:
        raise ValueError(f"the palm {hand.palm!r} of the hand {hand.name!r} must be a mocap body, since tasks place it")
    joints = [joint.name for joint in spec.joints]
    if sorted(joints) != sorted(hand.joints):
        raise ValueError(
            f"the model of the hand {hand.name!r} has the joints {', '.join(joints)}, and its record "
            f"{', '.join(hand.joints)}"
        )
    if spec.worldbody.geoms:
        raise ValueError(f"the model of the hand {hand.name!r} must hold the hand alone, without a floor or the like")
    return spec


def build_scene(task: Task) -> Scene:
    """Compile the task's scene: the hand over an object whose nut turns on a revolute joint."""
    spec = _hand_spec(task.hand)
    spec.modelname = f"dexscrew_{task.name}"
    spec.option.timestep = task.timestep
    # A pyramidal cone softens a contact's normal direction with the square of the friction coefficient: at 8,
    # fingertips sink 10 to 20 mm into the handle. An elliptic cone keeps them within 1 mm, at the same cost.
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    # Autoreset would hide a diverged simulation by silently restarting it from a pose that no task has.
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET.value
    for body in spec.bodies[1:]:
        body.gravcomp = 1.0
    _decorate(spec)

    scales = scales_of(task)
    parts = {shape: convex_parts(shape) for shape in task.sampled_shapes}
    part_count = max(len(p) for p in parts.values())
    middle = {shape: np.array([0.0, 0.0, np.concatenate(p)[:, 2].mean()]) for shape, p in parts.items()}
    mesh_names: list[list[str]] = []  # [variant][part]
    for shape in task.sampled_shapes:
        padded = list(parts[shape]) + [_empty_part() + middle[shape]] * (part_count - len(parts[shape]))
        for scale in scales:
            names = [f"{shape}_{len(mesh_names)}_{k}" for k in range(part_count)]
            for name, vertices in zip(names, padded, strict=True):
                spec.add_mesh(name=name, uservert=(scale * vertices).ravel())
            mesh_names.append(names)

    catalogue = _catalogue(spec, mesh_names)
    _add_object(spec, task, mesh_names[0])
    model = spec.compile()
    return Scene(spec, model, _variants(task, scales, model, catalogue, mesh_names))


def _decorate(spec: mujoco.MjSpec) -> None:
    spec.visual.headlight.ambient = [0.35, 0.35, 0.35]
    spec.visual.headlight.diffuse = [0.35, 0.35, 0.35]
    spec.visual.global_.offheight, spec.visual.global_.offwidth = LARGEST_FRAME
    spec.visual.map.znear = 0.02
    spec.visual.quality.shadowsize = 4096
    spec.stat.extent, spec.stat.center = 0.4, [0.0, 0.06, 0.12]
    texture = mujoco.mjtTexture
    spec.add_texture(
        name="sky", type=texture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.93, 0.95, 0.98], rgb2=[0.62, 0.68, 0.76], width=64, height=384,
    )  # fmt: skip
    spec.add_material(name="nut", rgba=[0.93, 0.55, 0.16, 1], specular=0.5, shininess=0.6)
    spec.add_material(name="bolt", rgba=[0.55, 0.57, 0.60, 1], specular=0.7, shininess=0.8)
    spec.add_material(name="base", rgba=[0.78, 0.80, 0.83, 1], specular=0.2)
    light = {"castshadow": True, "diffuse": [0.6, 0.6, 0.6], "specular": [0.3, 0.3, 0.3]}
    spec.worldbody.add_light(pos=[0.3, -0.2, 0.8], dir=[-0.35, 0.3, -0.9], **light)
    spec.worldbody.add_light(pos=[-0.4, 0.5, 0.6], dir=[0.5, -0.5, -0.7], castshadow=False, diffuse=[0.25, 0.25, 0.25])
    spec.worldbody.add_camera(
        name="side", pos=[0.34, 0.32, 0.25], fovy=38, mode=mujoco.mjtCamLight.mjCAMLIGHT_TARGETBODY,
        targetbody="target",
    )  # fmt: skip
    spec.worldbody.add_body(name="target", pos=[0.005, 0.052, 0.105])


def _add_object(spec: mujoco.MjSpec, task: Task, meshes: list[str]) -> None:
    """Add the object as a mocap body, so that its pose is part of the state, and the nut on its joint.

    Neither collides with anything that is not a finger: a contact between bodies that cannot move against each other
    has no finite inertia, and stalls float32 solvers.
    """
    geom = mujoco.mjtGeom
    base = spec.worldbody.add_body(name="object", mocap=True)
    # The base is out of reach. The bolt is a capsule flush with its top, which is far cheaper to test than a cylinder.
    base.add_geom(
        name="base", type=geom.mjGEOM_CYLINDER, size=[0.1, 0.005, 0], material="base", contype=0, conaffinity=0
    )
    top = task.bolt_height - task.bolt_radius
    base.add_geom(
        name="bolt", type=geom.mjGEOM_CAPSULE, size=[task.bolt_radius, 0, 0], fromto=[0, 0, 0, 0, 0, top],
        material="bolt", contype=1, conaffinity=0,
    )  # fmt: skip
    nut = base.add_body(name="nut", pos=[0, 0, task.joint_height])
    nut.mass, nut.inertia, nut.explicitinertial = _NOMINAL_MASS, [1e-5] * 3, True
    nut.add_joint(
        name=NUT_JOINT,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=[0, 0, -task.turn],
        range=[0, 2 * np.pi * task.joint_turns],
        limited=mujoco.mjtLimited.mjLIMITED_TRUE,
        damping=[task.joint_damping, 0, 0],
        frictionloss=sum(task.joint_friction) / 2,
        # Stiff, since MuJoCo's dry friction creeps in proportion to the inverse inertia, and the nut has hardly any:
        # with the default a torque of 10 mN m, below the limit, would turn a handle at 2 rad/s.
        solimp_friction=[0.999, 0.999, 0.001, 0.5, 2],
    )
    for k, mesh in enumerate(meshes):
        nut.add_geom(name=f"nut_{k}", type=geom.mjGEOM_MESH, meshname=mesh, material="nut", contype=1, conaffinity=0)
    force = 1 << mujoco.mjtConDataField.mjCONDATA_FORCE.value
    netforce = 3
    contact = {"type": mujoco.mjtSensor.mjSENS_CONTACT, "intprm": [force, netforce, 1]}
    body = mujoco.mjtObj.mjOBJ_BODY
    spec.add_sensor(name=CONTACT_SENSOR, objtype=body, objname="nut", **contact)
    for finger in task.hand.fingers:
        spec.add_sensor(
            name=f"{finger.name}_force", objtype=body, objname=finger.pad, reftype=body, refname="nut", **contact
        )


def _catalogue(spec: mujoco.MjSpec, mesh_names: list[list[str]]) -> mujoco.MjModel:
    """Compile a model in which every mesh is one geom, to read off how MuJoCo places and bounds it."""
    catalogue = mujoco.MjSpec()
    body = catalogue.worldbody.add_body()
    for name in (name for names in mesh_names for name in names):
        catalogue.add_mesh(name=name, uservert=spec.mesh(name).uservert)
        body.add_geom(name=name, type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name)
    return catalogue.compile()


def _variants(
    task: Task,
    scales: NDArray[np.float64],
    model: mujoco.MjModel,
    catalogue: mujoco.MjModel,
    mesh_names: list[list[str]],
) -> Variants:
    shapes = task.sampled_shapes
    part_count = len(mesh_names[0])
    scale = np.tile(scales, len(shapes))
    bolt = model.geom("bolt").id
    geoms = np.array([model.geom(f"nut_{k}").id for k in range(part_count)] + [bolt])
    rows = np.array([[catalogue.geom(name).id for name in names] for names in mesh_names])
    values: dict[str, NDArray] = {}
    for field, power in (("pos", 1), ("quat", 0), ("size", 1), ("aabb", 1), ("rbound", 1)):
        nut_part = getattr(catalogue, f"geom_{field}")[rows]
        bolt_part = getattr(model, f"geom_{field}")[bolt]
        bolt_part = bolt_part * (scale**power).reshape(-1, *[1] * (1 + bolt_part.ndim))
        values[f"geom_{field}"] = np.concatenate([nut_part, bolt_part], axis=1)
    mesh_ids = np.array([[model.mesh(name).id for name in names] for names in mesh_names])
    values["geom_dataid"] = np.concatenate([mesh_ids, np.full((len(scale), 1), -1)], axis=1)

    points, inertia = [], []
    for v, names in enumerate(mesh_names):
        count = len(convex_parts(shapes[v // len(scales)]))
        triangles = np.concatenate([_triangles(catalogue, name) for name in names[:count]])
        points.append(surface_points(triangles))
        x, y, z = np.mean(np.square(points[-1]), axis=0)  # a shell's inertia: the masses are not geometric anyway
        inertia.append([y + z, x + z, x + y])
    height = np.zeros((len(scale), 3))
    height[:, 2] = task.joint_height * scale
    shape_index = np.repeat(np.arange(len(shapes)), len(scales))
    symmetry = np.array([SHAPES[shape].symmetry for shape in shapes], dtype=np.float64)[shape_index]
    return Variants(shapes, shape_index, scale, symmetry, np.array(points), geoms, values, height, np.array(inertia))


def _triangles(model: mujoco.MjModel, name: str) -> NDArray[np.float64]:
    """Return the triangles (T, 3, 3) of a mesh's convex hull in the nut's frame."""
    mesh, geom = model.mesh(name), model.geom(name)
    start, count = model.mesh_vertadr[mesh.id], model.mesh_vertnum[mesh.id]
    vertices = model.mesh_vert[start : start + count].astype(np.float64)
    start, count = model.mesh_faceadr[mesh.id], model.mesh_facenum[mesh.id]
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, geom.quat)
    return (vertices @ rotation.reshape(3, 3).T + geom.pos)[model.mesh_face[start : start + count]]


def check_joint_order(model: mujoco.MjModel, hand: Hand) -> None:
    """Raise ValueError unless the hand's joints come first and in policy order, as the simulators assume."""
    names = tuple(model.joint(k).name for k in range(min(len(hand.joints), model.njnt)))
    actuators = tuple(model.actuator(k).name for k in range(model.nu))
    if names != hand.joints or actuators != hand.joints:
        raise ValueError(
            f"the model of the hand {hand.name!r} must list joints and actuators in policy order {hand.joints}, got "
            f"{names} and {actuators}"
        )
