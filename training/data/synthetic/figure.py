"""The naked measures of a body: profiles of trunk, arms, legs and head that skin and clothes are both cut from."""

from dataclasses import dataclass

import numpy as np

from .appearance import Build
from .skeleton import Joints, joints_of
from .surface import Floats

Row = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class Figure:
    """A build with its joints; profiles are rows (y, centre x, centre z, radius x, radius z) in metres."""

    build: Build
    joints: Joints

    @property
    def hip_width(self) -> float:
        """Half width of the body at the hips."""
        return self.build.hips + 0.072 * self.build.limbs

    def trunk(self, ease: float = 0.0) -> list[Row]:
        """From the neck's root to the hip joint."""
        b, j = self.build, self.joints
        s, g, wide = b.shoulders, b.girth, self.hip_width
        bust = 0.014 if b.female else 0.0
        waist = (0.122 if b.female else 0.142) * g + 0.02 * b.belly
        deep = 0.088 * g + 0.045 * b.belly
        return [
            (j.neck + 0.030, 0.0, -0.012, 0.056 + ease, 0.058 + ease),
            (j.neck + 0.004, 0.0, -0.014, 0.40 * s + ease, 0.066 + ease),
            (j.shoulder + 0.024, 0.0, -0.014, 0.70 * s + ease, 0.078 + ease),
            (j.shoulder - 0.016, 0.0, -0.010, 0.90 * s + ease, 0.090 * g + ease),
            (j.shoulder - 0.080, 0.0, -0.004, 0.94 * s + ease, 0.106 * g + ease),
            (j.shoulder - 0.150, 0.0, bust, 0.87 * s + ease, 0.108 * g + bust + ease),
            (j.waist + 0.060, 0.0, 0.010 * b.belly, waist * 1.02 + ease, deep + ease),
            (j.waist - 0.010, 0.0, 0.018 * b.belly, waist + ease, deep + 0.008 + ease),
            (
                j.hip + 0.060,
                0.0,
                0.008 * b.belly,
                0.5 * (waist + wide) + 0.006 + ease,
                0.098 * g + 0.02 * b.belly + ease,
            ),
            (j.hip, 0.0, -0.008, wide + ease, 0.108 * g + ease),
        ]

    def seat(self, ease: float = 0.0) -> list[Row]:
        """From the belt to the crotch."""
        j, g, wide = self.joints, self.build.girth, self.hip_width
        upper = [row for row in self.trunk(ease) if row[0] <= j.waist + 0.03]
        return [
            *upper,
            (j.hip - 0.060, 0.0, -0.010, wide * 0.98 + ease, 0.102 * g + ease),
            (j.hip - 0.095, 0.0, -0.006, wide * 0.80 + ease, 0.080 * g + ease),
            (j.hip - 0.105, 0.0, 0.0, 0.02, 0.02),
        ]

    def leg(self, side: float, ease: float = 0.0, flare: float = 0.0) -> list[Row]:
        """From inside the hip to the ankle; ``flare`` widens it towards the ground."""
        j, t = self.joints, self.build.limbs
        x = side * j.hip_x
        thigh, shin = j.hip - j.knee, j.knee - j.ankle
        e = [ease + flare * share for share in (0.0, 0.1, 0.35, 0.55, 0.8, 1.0, 1.0)]
        return [
            (j.hip + 0.03, x, -0.006, 0.070 * t + e[0], 0.088 * t + e[0]),
            (j.hip - 0.09, x, -0.004, 0.079 * t + e[1], 0.093 * t + e[1]),
            (j.hip - 0.55 * thigh, x, 0.002, 0.066 * t + e[2], 0.075 * t + e[2]),
            (j.knee, x, 0.004, 0.052 * t + e[3], 0.056 * t + e[3]),
            (j.knee - 0.28 * shin, x, -0.012, 0.053 * t + e[4], 0.058 * t + e[4]),
            (j.knee - 0.75 * shin, x, -0.010, 0.037 * t + e[5], 0.042 * t + e[5]),
            (j.ankle - 0.005, x, -0.006, 0.034 * t + e[6], 0.038 * t + e[6]),
        ]

    def arm(self, side: float, ease: float = 0.0) -> list[Row]:
        """From the shoulder's top to the wrist."""
        j, t = self.joints, self.build.limbs
        x, z = side * j.shoulder_x, -0.010
        upper, lower = j.shoulder - j.elbow, j.elbow - j.wrist
        return [
            (j.shoulder + 0.014 + 0.4 * ease, x * 0.84, z, 0.004, 0.004),
            (j.shoulder - 0.002 + 0.4 * ease, x * 0.92, z, 0.032 * t + ease, 0.040 * t + ease),
            (j.shoulder - 0.048, x * 1.00, z, 0.049 * t + ease, 0.054 * t + ease),
            (j.shoulder - 0.45 * upper, x * 1.02, z, 0.043 * t + ease, 0.048 * t + ease),
            (j.elbow, x, z, 0.036 * t + ease, 0.038 * t + ease),
            (j.elbow - 0.25 * lower, x, z, 0.037 * t + ease, 0.040 * t + ease),
            (j.wrist, x, z, 0.024 * t + ease, 0.027 * t + ease),
        ]

    def hand(self, side: float) -> list[Row]:
        """From the wrist to the finger tips, slightly curled."""
        j, t = self.joints, self.build.limbs
        x = side * j.shoulder_x
        return [
            (j.wrist + 0.01, x, -0.010, 0.022 * t, 0.025 * t),
            (j.wrist - 0.03, x, -0.008, 0.019 * t, 0.036 * t),
            (j.wrist - 0.08, x - side * 0.004, -0.002, 0.017 * t, 0.040 * t),
            (j.wrist - 0.13, x - side * 0.014, 0.002, 0.013 * t, 0.030 * t),
            (j.wrist - 0.165, x - side * 0.024, 0.004, 0.004, 0.008),
        ]

    def head(self, grow: float = 0.0) -> list[Row]:
        """From crown to chin, ``grow`` metres larger all round."""
        j, k = self.joints, self.build.head * (self.joints.height - self.joints.chin) / 0.218
        top = j.chin + 0.218 * k
        rows = [
            (0.000, -0.012, 0.006, 0.006),
            (0.012, -0.012, 0.044, 0.054),
            (0.035, -0.010, 0.064, 0.081),
            (0.070, -0.006, 0.075, 0.095),
            (0.105, -0.004, 0.076, 0.095),
            (0.140, 0.002, 0.070, 0.087),
            (0.170, 0.012, 0.060, 0.074),
            (0.198, 0.026, 0.044, 0.054),
            (0.214, 0.040, 0.022, 0.030),
            (0.218, 0.044, 0.004, 0.004),
        ]
        last = len(rows) - 1
        return [
            (top - d * k + grow * (1 - 2 * i / last), 0.0, z * k, x * k + grow, r * k + grow)
            for i, (d, z, x, r) in enumerate(rows)
        ]

    def front(self, x: Floats, y: Floats, ease: float) -> Floats:
        """Depth z of the trunk's front at points (x, y)."""
        rows = np.asarray(self.trunk(ease), np.float32)[::-1]
        cz, rx, rz = (np.interp(y, rows[:, 0], rows[:, k]) for k in (2, 3, 4))
        return (cz + rz * np.sqrt(np.clip(1 - (x / rx) ** 2, 0, 1))).astype(np.float32)


def figure_of(build: Build) -> Figure:
    """The figure of a build."""
    return Figure(build, joints_of(build.height, build.leg_share, build.shoulders, build.hips))
