"""A dressed body: all its surfaces as points with colour, ready to be posed."""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .appearance import Appearance
from .figure import Figure, figure_of
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
    """A body in its own frame (y up, z forward, feet on y = 0): points, normals float32 [N, 3]."""

    points: Floats
    normals: Floats


@dataclass
class Body:
    """A dressed body in the bind pose.

    ``groups`` holds one (bones, weighted points [N, 4·B], weighted normals [N, 3·B]) per set of bones that share points, so
    that posing is one matrix product per group; colours [N, 3] and gloss [N] are in the same order.
    """

    figure: Figure
    appearance: Appearance
    groups: list[tuple[tuple[Bone, ...], Floats, Floats]] = field(default_factory=list)
    colours: Floats = field(default_factory=lambda: np.zeros((0, 3), np.float32))
    gloss: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    head: slice = field(default_factory=lambda: slice(0))  # the points of face, hair and hat

    @property
    def height(self) -> float:
        """Metres."""
        return self.figure.joints.height

    def posed(self, pose: Pose) -> Posed:
        """The points of the body in this pose, its lowest foot on the ground."""
        maps = bone_maps(self.figure.joints, self.appearance.gait, pose)
        ground = _lowest(self.figure, maps)
        points, normals = [], []
        for bones, weighted, turned in self.groups:
            stack = np.concatenate([maps[bone].T for bone in bones])
            turns = np.concatenate([maps[bone, :, :3].T for bone in bones])
            points.append(weighted @ stack)
            normals.append(turned @ turns)
        cloud = np.concatenate(points)
        cloud[:, 1] -= ground
        return Posed(cloud, np.concatenate(normals))


def _lowest(figure: Figure, maps: NDArray[np.float32]) -> float:
    """Height of the lowest point of both soles."""
    soles = np.array([(x, 0.0, z, 1.0) for x in (0.0,) for z in (-0.07, 0.06, 0.15)], np.float32)
    low = []
    for bone, side in ((Bone.FOOT_R, 1.0), (Bone.FOOT_L, -1.0)):
        points = soles.copy()
        points[:, 0] = side * figure.joints.hip_x
        low.append((points @ maps[bone].T)[:, 1].min())
    return float(min(low))


def build_body(appearance: Appearance, spacing: float = 0.008) -> Body:
    """The body of an appearance with points about ``spacing`` metres apart.

    A spacing of 0.7 pixels of the picture that is drawn leaves no holes.
    """
    from .carried import carried_pieces
    from .clothing import clothing_pieces
    from .head import head_pieces

    figure = figure_of(appearance.build)
    pieces = [*clothing_pieces(appearance, figure, spacing), *head_pieces(appearance, figure, spacing)]
    pieces += carried_pieces(appearance, figure, spacing)
    return _assembled(figure, appearance, pieces)


def _assembled(figure: Figure, appearance: Appearance, pieces: list[Piece]) -> Body:
    by_bones: dict[tuple[Bone, ...], list[Piece]] = defaultdict(list)
    for piece in pieces:
        by_bones[tuple(piece.weights)].append(piece)
    body = Body(figure, appearance)
    colours, gloss, count = [], [], 0
    for bones, group in by_bones.items():
        points = np.concatenate([p.surface.points for p in group])
        normals = np.concatenate([p.surface.normals for p in group])
        weights = [np.concatenate([p.weights[bone] for p in group])[:, None] for bone in bones]
        lifted = np.concatenate([points, np.ones((len(points), 1), np.float32)], axis=1)
        body.groups.append(
            (
                bones,
                np.concatenate([lifted * w for w in weights], axis=1),
                np.concatenate([normals * w for w in weights], axis=1),
            )
        )
        if bones == (Bone.HEAD,):
            body.head = slice(count, count + len(points))
        count += len(points)
        colours += [p.colour for p in group]
        gloss += [np.full(len(p.colour), p.gloss, np.float32) for p in group]
    body.colours = np.clip(np.concatenate(colours), 0.01, 0.98).astype(np.float32)
    body.gloss = np.concatenate(gloss)
    return body


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
