"""Coarse codes of embeddings: a few bytes, from which a score is never estimated too low.

With V the m directions that hold most of the rows' energy (orthonormal, ``[D, m]``), y = Vᵀx rounded to 8 bits ŷ, and
p = Vᵀq rounded likewise p̂, Cauchy–Schwarz within V and beside it says

    q·x  ≤  p̂·ŷ + |p − p̂| |ŷ| + |p| |y − ŷ| + |q⊥| |x⊥|

The last two norms of a row are stored with it, rounded up, as two more dimensions. The bound of every row is then one
inner product of small integers, which Faiss computes without error, and an exact search has to look at no more than
the rows with the highest bounds. A code has D / 4 bytes where V may be so small (of the shipped model's energy 0.8 %
is beside that many directions), else D / 2 or D (random directions); the fp16 row has 2 D.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

SAMPLE = 16_384  # rows that V is made of
_BESIDE = 0.05  # of the energy; where more is lost the bounds say little, and wider codes are faster in the end
_ROUNDING = 1e-6  # more than float64 loses here, and than a float32 score is rounded up


@dataclass(frozen=True)
class Coarse:
    """How rows are coded, and what a query weighs against codes: uint8 ``[N, width]``, 128 is zero.

    Attributes:
        basis: V, float64 ``[D, width − 2]``; columns beyond m are zero.
        steps: float64 ``[3]``; what 1 stands for in ŷ, in |y − ŷ| and in |x⊥|.
        longest: no ŷ is longer.
    """

    basis: np.ndarray
    steps: np.ndarray
    longest: float

    @classmethod
    def fitted(cls, sample: np.ndarray, blocks: Callable[[], Iterable[np.ndarray]]) -> "Coarse":
        """For all rows that ``blocks`` gives, float ``[N, D]`` each, some of which are the sample ``[S, D]``."""
        dim = sample.shape[1]
        energy, directions = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
        widths = [max(dim // share // 16 * 16, 16) for share in (4, 2, 1)]  # multiples of 16, else Faiss is slow
        width = next((w for w in widths if energy[: max(dim - w + 2, 0)].sum() <= _BESIDE * energy.sum()), widths[-1])
        m = min(width - 2, dim)
        # Turned within itself, V has as much in one direction as in another, and one step of rounding fits them all.
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((m, m)))[0]
        basis = np.zeros((dim, width - 2))
        basis[:, :m] = directions[:, -m:] @ turn
        step = 1.1 * float(np.abs(sample @ basis).max()) / 127 + 1e-9  # what lies beyond is cut off, which |y − ŷ| says
        most = np.zeros(3)
        for rows in blocks():
            rounded, norms = _rounded(rows, basis, step)
            most = np.maximum(most, [*norms.max(0), step * np.sqrt(_squares(rounded).max())])
        return cls(basis, np.array([step, *most[:2] / 254]), float(most[2]))

    @property
    def width(self) -> int:
        """Bytes of a row's code."""
        return self.basis.shape[1] + 2

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """uint8 ``[N, width]`` of float rows ``[N, D]``."""
        rounded, norms = _rounded(rows, self.basis, self.steps[0])
        return np.hstack([rounded + 128, np.ceil(norms / self.steps[1:])]).astype(np.uint8)

    def weigh(self, query: np.ndarray) -> tuple[np.ndarray, float, float]:
        """What makes bounds of codes for a query ``[D]``: bound = factor · (weights · (code − 128)) + offset.

        The weights are whole numbers from −127 to 127: where the processor multiplies integers, Faiss cuts all else.
        """
        exact = query.astype(np.float64)
        within = exact @ self.basis
        length, inside = np.sqrt(_squares(exact)), np.sqrt(_squares(within))
        beside = np.sqrt(max(_squares(exact) - _squares(within), 0)) + _ROUNDING * length
        weights = np.append(within * self.steps[0], np.array([inside, beside]) * self.steps[1:])
        factor = float(np.abs(weights).max()) / 127 + 1e-30
        whole = np.append(np.rint(weights[:-2] / factor), np.ceil(weights[-2:] / factor - 1e-9))
        missed = np.sqrt(_squares(weights[:-2] - factor * whole[:-2])) / self.steps[0] * self.longest
        offset = factor * 128 * whole[-2:].sum() + missed + _ROUNDING * length * (1 + self.longest)
        return whole.astype(np.float32), factor, float(offset)


def _rounded(rows: np.ndarray, basis: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """ŷ in steps ``[N, width − 2]``; |y − ŷ| and |x⊥| ``[N, 2]``."""
    exact = rows.astype(np.float64)
    projected = exact @ basis
    rounded = np.clip(np.rint(projected / step), -128, 127)
    within = _squares(projected - rounded * step)
    beside = np.maximum(_squares(exact) - _squares(projected), 0)
    return rounded, np.sqrt(np.stack([within, beside], 1)) + _ROUNDING


def _squares(rows: np.ndarray) -> np.ndarray:
    squares: np.ndarray = np.einsum("...d,...d->...", rows, rows)
    return squares
