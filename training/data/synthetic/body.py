"""A dressed body: all its surfaces as points with colour, ready to be posed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .appearance import Appearance
from .figure import Figure
from .pose import Pose, bone_maps
from .skeleton import Bone
from .surface import Floats, Surface, smoothstep

Weights = dict[Bone, Floats]


@dataclass
class Piece:
    """One surface with its colours [N, 3] (sRGB), gloss 0..1, and how much each bone moves each point [N]."""

    surface: Surface
    colour: Floats
    weights: Weights
    gloss: float = 0.05


@dataclass
class Posed:
    """A body in some frame of axes: points and normals, float32 [3, N] (one row per axis)."""

    points: Floats
    normals: Floats


@dataclass
class Body:
    """A dressed body in the bind pose.

    ``groups`` holds one (bones, weighted points [4·B, N], weighted normals [3·B, N]) per set of bones that share
    points, so that posing is one matrix product per group; colours [N, 3] and gloss [N] are in the same order.
    """

    figure: Figure
    appearance: Appearance
    groups: list[tuple[tuple[Bone, ...], Floats, Floats]]
    colours: Floats
    gloss: Floats
    head: slice  # the points of face, hair and hat

    @property
    def height(self) -> float:
        """Metres."""
        return self.figure.joints.height

    def posed(self, pose: Pose, turn: Floats, shift: Floats) -> Posed:
        """The points in this pose, the lowest foot on the ground, moved by ``turn`` [3, 3] and ``shift`` [3].

        The body's own frame, which they start from, has y up, z forward and the ground at y = 0.
        """
        maps = bone_maps(self.figure.joints, self.appearance.gait, pose)
        maps[:, 1, 3] -= _lowest(self.figure, maps)
        maps = turn @ maps
        maps[:, :, 3] += shift
        count = len(self.gloss)
        points, normals = np.empty((3, count), np.float32), np.empty((3, count), np.float32)
        at = 0
        for bones, weighted, turned in self.groups:
            here = slice(at, at + weighted.shape[1])
            points[:, here] = np.concatenate([maps[bone] for bone in bones], axis=1) @ weighted
            normals[:, here] = np.concatenate([maps[bone, :, :3] for bone in bones], axis=1) @ turned
            at = here.stop
        return Posed(points, normals)


def _lowest(figure: Figure, maps: NDArray[np.float32]) -> float:
    """Height of the lowest point of both soles."""
    soles = np.array([(0.0, 0.0, z, 1.0) for z in (-0.07, 0.06, 0.15)], np.float32)
    low = []
    for bone, side in ((Bone.FOOT_R, 1.0), (Bone.FOOT_L, -1.0)):
        points = soles.copy()
        points[:, 0] = side * figure.joints.hip_x
        low.append((points @ maps[bone].T)[:, 1].min())
    return float(min(low))


def whole(surface: Surface, bone: Bone) -> Weights:
    """All points move with one bone."""
    return {bone: np.ones(len(surface.points), np.float32)}


def trunk_weights(figure: Figure, surface: Surface) -> Weights:
    """Pelvis below, chest above, blended round the waist; below the hips cloth goes with the legs."""
    y, x = surface.points[:, 1], surface.points[:, 0]
    j = figure.joints
    chest = smoothstep(y, j.waist - 0.07, j.waist + 0.13)
    loose = 0.92 * smoothstep(y, j.hip + 0.02, j.hip - 0.20)
    right = smoothstep(x, -0.09, 0.09)
    return {
        Bone.PELVIS: (1 - chest) * (1 - loose),
        Bone.CHEST: chest,
        Bone.THIGH_R: loose * right,
        Bone.THIGH_L: loose * (1 - right),
    }


def leg_weights(figure: Figure, surface: Surface, side: float) -> Weights:
    """Pelvis, thigh, shin and foot from top to bottom."""
    y = surface.points[:, 1]
    j = figure.joints
    thigh = smoothstep(y, j.hip + 0.05, j.hip - 0.07)
    shin = smoothstep(y, j.knee + 0.06, j.knee - 0.06)
    foot = smoothstep(y, j.ankle + 0.035, j.ankle - 0.01)
    first = Bone.THIGH_R if side > 0 else Bone.THIGH_L
    return {
        Bone.PELVIS: 1 - thigh,
        first: thigh * (1 - shin),
        Bone(first + 1): shin * (1 - foot),
        Bone(first + 2): shin * foot,
    }


def arm_weights(figure: Figure, surface: Surface, side: float) -> Weights:
    """Chest, upper and lower arm from top to bottom."""
    y = surface.points[:, 1]
    j = figure.joints
    upper = smoothstep(y, j.shoulder + 0.03, j.shoulder - 0.05)
    lower = smoothstep(y, j.elbow + 0.05, j.elbow - 0.05)
    first = Bone.UPPER_ARM_R if side > 0 else Bone.UPPER_ARM_L
    return {Bone.CHEST: 1 - upper, first: upper * (1 - lower), Bone(first + 1): upper * lower}
