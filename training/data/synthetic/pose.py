"""How people hold themselves: a walking cycle, standing, and what arms do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .skeleton import Bone, Joints, bone_transforms

ARMS = ("swing", "pocket", "phone", "front", "strap", "hang", "back")


@dataclass(frozen=True)
class Gait:
    """What stays the same in one person's way of moving."""

    swing: float  # largest hip angle, radians
    arm_swing: float  # largest shoulder angle, radians
    elbow: float  # resting bend of the elbow, radians
    stoop: float  # forward lean of the chest, radians
    spread: float  # how far arms stay from the body, radians

    def stride(self, joints: Joints) -> float:
        """Metres walked in one full cycle (two steps)."""
        return 4.0 * joints.leg * float(np.sin(self.swing)) * 0.95


def draw_gait(rng: np.random.Generator, old: bool = False) -> Gait:
    """One person's way of moving; old people take shorter steps and stoop."""
    return Gait(
        swing=float(rng.uniform(0.26, 0.36)) * (0.75 if old else 1.0),
        arm_swing=float(rng.uniform(0.12, 0.40)),
        elbow=float(rng.uniform(0.12, 0.45)),
        stoop=float(rng.normal(0.16 if old else 0.03, 0.04)),
        spread=float(rng.uniform(0.05, 0.13)),
    )


@dataclass(frozen=True)
class Pose:
    """One moment of a body.

    ``phase`` is the place in the walking cycle, radians; ``effort`` 0 stands and 1 walks. ``arm_right`` and
    ``arm_left`` are of ARMS. ``glance`` turns the head, radians.
    """

    phase: float = 0.0
    effort: float = 1.0
    arm_right: str = "swing"
    arm_left: str = "swing"
    glance: float = 0.0
    nod: float = 0.0
    sway: float = 0.0


def draw_pose(rng: np.random.Generator, right: str | None = None, left: str | None = None) -> Pose:
    """A moment: 80 % walking; ``right`` and ``left`` are what hands must do that carry something."""
    walking = rng.random() < 0.8
    arms = [busy or str(rng.choice(ARMS, p=[0.58, 0.11, 0.07, 0.08, 0.04, 0.09, 0.03])) for busy in (right, left)]
    return Pose(
        phase=float(rng.uniform(0, 2 * np.pi)),
        effort=float(rng.uniform(0.7, 1.15)) if walking else float(rng.uniform(0.0, 0.25)),
        arm_right=arms[0],
        arm_left=arms[1],
        glance=float(rng.normal(0, 0.25)),
        nod=float(rng.normal(0.05, 0.1)),
        sway=float(rng.normal(0, 0.02)),
    )


def _leg(phase: float, amplitude: float) -> tuple[float, float, float]:
    """Hip, knee and ankle angles (radians) at a phase; 0 is heel strike, stance until π, then swing."""
    drive = amplitude / 0.37
    hip = amplitude * np.cos(phase) + 0.05 * drive
    knee = 0.06 + 0.12 * drive * max(0.0, np.sin(phase)) ** 2 + 0.85 * drive * max(0.0, -np.sin(phase + 0.45)) ** 1.5
    toe_down = 0.55 * drive * max(0.0, -np.sin(phase + 0.9)) ** 2
    toe_up = 0.25 * drive * max(0.0, np.cos(phase)) ** 6
    # The foot's pitch in the world is toe_up - toe_down; hip - knee is the shin's, which the ankle takes back.
    return hip, -knee, knee - hip + toe_up - toe_down


def _arm(
    kind: str, side: float, swing: float, gait: Gait, effort: float
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Turns of upper and lower arm; ``side`` +1 right, ``swing`` −1..1."""
    out = side * gait.spread
    if kind == "swing":
        forward = gait.arm_swing * effort * swing
        return (forward - 0.05, 0.0, out), (gait.elbow + 0.25 * max(forward, 0.0), -0.15 * side, -0.5 * out)
    if kind == "pocket":
        return (-0.28, 0.0, side * 0.22), (0.62, -0.5 * side, -0.25 * side)
    if kind == "phone":
        return (0.75, 0.0, side * 0.25), (2.25, -0.35 * side, 0.0)
    if kind == "front":
        return (0.25, -0.35 * side, out), (1.35, -0.5 * side, -0.1 * side)
    if kind == "back":
        return (-0.45, 0.0, side * 0.25), (0.75, -1.0 * side, -0.6 * side)
    if kind == "strap":
        return (0.15, 0.0, side * 0.18), (1.9, -0.55 * side, 0.0)
    return (0.04 * swing, 0.0, out), (0.12, 0.0, -0.3 * out)


def bone_maps(joints: Joints, gait: Gait, pose: Pose) -> NDArray[np.float32]:
    """The pose as one affine map of the bind pose per bone, float32 [13, 3, 4]; the feet are not on the ground yet."""
    turns = np.zeros((13, 3), np.float32)
    amplitude = gait.swing * pose.effort
    beat = float(np.cos(pose.phase))
    turns[Bone.PELVIS] = (0.0, -0.10 * beat * pose.effort, pose.sway + 0.03 * np.sin(pose.phase) * pose.effort)
    turns[Bone.CHEST] = (
        -gait.stoop - 0.02,
        0.18 * beat * pose.effort,
        -pose.sway - 0.03 * np.sin(pose.phase) * pose.effort,
    )
    turns[Bone.HEAD] = (gait.stoop - pose.nod, pose.glance - 0.08 * beat * pose.effort, 0.0)
    for upper, lower, kind, side in (
        (Bone.UPPER_ARM_R, Bone.LOWER_ARM_R, pose.arm_right, 1.0),
        (Bone.UPPER_ARM_L, Bone.LOWER_ARM_L, pose.arm_left, -1.0),
    ):
        turns[upper], turns[lower] = _arm(kind, side, -side * beat, gait, pose.effort)
    for thigh, phase, side in ((Bone.THIGH_R, pose.phase, 1.0), (Bone.THIGH_L, pose.phase + np.pi, -1.0)):
        hip, knee, ankle = _leg(phase, amplitude)
        turns[thigh] = (hip, 0.0, 0.01 * side)
        turns[thigh + 1] = (knee, 0.0, -0.02 * side)
        turns[thigh + 2] = (ankle, 0.08 * side, 0.0)
    return bone_transforms(joints, turns)
