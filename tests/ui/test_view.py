"""What the page says of a search's hits together."""

from dataclasses import replace
from pathlib import Path

import pytest

from reidapp.gallery.calibration import Calibration
from reidapp.gallery.search import SearchResult
from tests.small_gallery import make_service, png, query_crop
from ui import view


@pytest.fixture
def result(tmp_path: Path) -> SearchResult:
    service = make_service(tmp_path)
    return service.search(service.take_query(png(query_crop("red")), "red.png").id)


def calibration(source: str) -> Calibration:
    return Calibration(source, "2026-03-02T10:00:00Z", 6, 8, 30, 300, 1.0, -3.0, 0.2, 0.8, ())


def test_what_is_expected_of_the_hits_is_said(result: SearchResult) -> None:
    calibrated = replace(result, calibration=calibration("identities"), expected_false_hits=3.6, probably_absent=False)
    said = view.hits(calibrated, filtered=False)["say"]
    assert said.endswith(f"ms. About 4 of these {len(result.hits)} are expected to be wrong.")
    absent = replace(calibrated, probably_absent=True)
    assert view.hits(absent, filtered=True)["say"].endswith(" Probably not in this gallery within these filters.")


def test_a_probability_that_stands_on_little_is_never_without_its_warning(result: SearchResult) -> None:
    free = calibration("label-free")
    assert free.warning
    said = view.hits(replace(result, calibration=free, expected_false_hits=1.0), filtered=False)["say"]
    assert f"P(match) is label-free: {free.warning}." in said


def test_without_a_calibration_the_hits_alone_are_told(result: SearchResult) -> None:
    assert view.hits(result, filtered=False)["say"].endswith(" ms.")
