"""Ranges of numbers, for the signatures that recipes are checked against (`reidapp.registry.build`)."""

from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]  # a probability, or a part of a whole
BelowOne = Annotated[float, Field(ge=0, lt=1)]  # a share that leaves something: dropout, momentum
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]  # 0: none of them
