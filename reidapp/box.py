"""A box in a frame, in fractions of the frame's size."""

from typing import NamedTuple


class Box(NamedTuple):
    """x1, y1 is the upper left corner, x2, y2 the lower right one; each 0..1 of the frame's width or height."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width(self) -> float:
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        return max(self.width, 0.0) * max(self.height, 0.0)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def iou(self, other: "Box") -> float:
        """Intersection over union, 0..1."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        return width * height / (self.area + other.area - width * height)

    def covered_by(self, other: "Box") -> float:
        """Share of it that lies within the other, 0..1."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        return max(width, 0.0) * max(height, 0.0) / max(self.area, 1e-9)

    def clipped(self) -> "Box":
        """The part inside the frame."""
        return Box(*(min(max(v, 0.0), 1.0) for v in self))

    def pixels(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Whole-pixel x1, y1, x2, y2 inside a frame of ``height`` × ``width``; at least one pixel each way."""
        x1 = min(max(round(self.x1 * width), 0), width - 1)
        y1 = min(max(round(self.y1 * height), 0), height - 1)
        x2 = min(max(round(self.x2 * width), x1 + 1), width)
        y2 = min(max(round(self.y2 * height), y1 + 1), height)
        return x1, y1, x2, y2
