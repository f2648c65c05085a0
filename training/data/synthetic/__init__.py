"""Generated people and footage: no picture of a real person, and every label known."""

from .footage import FootageSummary, write_footage
from .people import PeopleSummary, render_people, write_people

__all__ = ["FootageSummary", "PeopleSummary", "render_people", "write_footage", "write_people"]
