"""Thirteen bones, where their joints are in a body of given proportions, and how angles move them."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Bone(IntEnum):
    """Right is +x. A hand moves with its lower arm."""

    PELVIS = 0
    CHEST = 1
    HEAD = 2
    UPPER_ARM_R = 3
    LOWER_ARM_R = 4
    UPPER_ARM_L = 5
    LOWER_ARM_L = 6
    THIGH_R = 7
    SHIN_R = 8
    FOOT_R = 9
    THIGH_L = 10
    SHIN_L = 11
    FOOT_L = 12


PARENT = (-1, 0, 1, 1, 3, 1, 5, 0, 7, 8, 0, 10, 11)


@dataclass(frozen=True)
class Joints:
    """Heights and half widths of the joints in the bind pose, metres."""

    height: float
    ankle: float
    knee: float
    hip: float
    waist: float
    shoulder: float
    elbow: float
    wrist: float
    neck: float
    chin: float
    hip_x: float
    shoulder_x: float

    @property
    def leg(self) -> float:
        """Length of the leg from the hip to the ground."""
        return self.hip

    def pivots(self) -> NDArray[np.float32]:
        """The point that each bone turns about, float32 [13, 3]."""
        rows = [
            (0.0, self.hip, 0.0),
            (0.0, self.waist, 0.0),
            (0.0, self.neck, -0.01),
            (self.shoulder_x, self.shoulder, -0.01),
            (self.shoulder_x, self.elbow, -0.01),
            (-self.shoulder_x, self.shoulder, -0.01),
            (-self.shoulder_x, self.elbow, -0.01),
            (self.hip_x, self.hip, 0.0),
            (self.hip_x, self.knee, 0.0),
            (self.hip_x, self.ankle, 0.0),
            (-self.hip_x, self.hip, 0.0),
            (-self.hip_x, self.knee, 0.0),
            (-self.hip_x, self.ankle, 0.0),
        ]
        return np.asarray(rows, np.float32)


def joints_of(height: float, leg_share: float, shoulder_x: float, hip_x: float) -> Joints:
    """Joints of a body this tall; ``leg_share`` is the hip's height over the body's (about 0.52)."""
    hip = leg_share * height
    trunk = height - hip
    return Joints(
        height=height,
        ankle=0.045 * height,
        knee=0.54 * hip,
        hip=hip,
        waist=hip + 0.18 * trunk,
        shoulder=hip + 0.580 * trunk,
        elbow=hip + 0.580 * trunk - 0.178 * height,
        wrist=hip + 0.580 * trunk - 0.325 * height,
        neck=hip + 0.665 * trunk,
        chin=hip + 0.735 * trunk,
        hip_x=hip_x,
        shoulder_x=shoulder_x,
    )


def rotations(turns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rotations [N, 3, 3] about x (positive swings what hangs down forward), then y, then z by angles [N, 3]."""
    (cp, cy, cr), (sp, sy, sr) = np.cos(turns).T, np.sin(turns).T
    rows = [
        (cr * cy, -cr * sy * sp - sr * cp, cr * sy * cp - sr * sp),
        (sr * cy, -sr * sy * sp + cr * cp, sr * sy * cp + cr * sp),
        (-sy, -cy * sp, cy * cp),
    ]
    return np.asarray(rows, np.float32).transpose(2, 0, 1)


def bone_transforms(joints: Joints, turns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Forward kinematics: each bone's own turn [13, 3] (pitch, yaw, roll) → affine maps of the bind pose [13, 3, 4]."""
    pivots = joints.pivots()
    maps = np.zeros((len(PARENT), 3, 4), np.float32)
    for bone, (parent, turn) in enumerate(zip(PARENT, rotations(turns), strict=True)):
        if parent < 0:
            maps[bone, :, :3], maps[bone, :, 3] = turn, pivots[bone] - turn @ pivots[bone]
            continue
        outer, pivot = maps[parent, :, :3], pivots[bone]
        whole = outer @ turn
        maps[bone, :, :3] = whole
        maps[bone, :, 3] = outer @ pivot + maps[parent, :, 3] - whole @ pivot
    return maps
