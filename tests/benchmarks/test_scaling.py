import math
import sys

import pytest

from benchmarks import scaling
from benchmarks.method_rows import DOCS
from benchmarks.scaling import Assumptions, Curve, Plan, curves, main


def test_the_exponent_is_the_slope_from_where_it_is_fitted() -> None:
    points = [(10, 5.0), (100, 2.0), (1_000, 16.0), (10_000, 128.0)]
    assert Curve("", "", "", points, 100, "").exponent == pytest.approx(math.log10(8))
    assert Curve("", "", "", points, 10_000, "").exponent is None


def test_every_curve_has_points_in_order_of_their_sizes() -> None:
    for curve in curves().values():
        sizes = [size for size, _ in curve.points]
        assert sizes == sorted(set(sizes)), curve.work
        assert len(sizes) > 1, curve.work


def test_twice_the_cameras_take_twice_of_all_but_a_search() -> None:
    one, two = Plan(Assumptions(cameras=10_000)), Plan(Assumptions(cameras=20_000))
    assert two.rows == 2 * one.rows
    assert two.kept("picture") == 2 * one.kept("picture")
    assert abs(two.machines("2fps") - 2 * one.machines("2fps")) <= 1
    assert abs(two.galleries - 2 * one.galleries) <= 1
    assert one.rows_each <= one.assumed.rows


def test_a_search_costs_what_was_measured_at_that_size_and_more_beyond() -> None:
    (small, cheap), *_, (large, dear) = curves()["search"].points
    assert scaling._search_ms(small) == pytest.approx(cheap)
    assert scaling._search_ms(large) == pytest.approx(dear)
    assert scaling._search_ms(4 * large) > dear


def test_what_is_not_tried_is_never_called_measured() -> None:
    assert {row.known for row in scaling.ROWS if "machines" in row.what or "GB" in row.what} == {"computed"}


def test_a_plan_for_other_assumptions_is_printed_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "--cameras", "200", "--days", "14"])
    monkeypatch.setattr("pathlib.Path.write_text", _forbidden)
    main()
    said = capsys.readouterr().out
    assert "| cameras | 200 | assumed |" in said
    assert "| days | 14 | assumed |" in said


def test_no_camera_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "--cameras", "0"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "--cameras: more than 0" in capsys.readouterr().err


def test_the_page_says_what_the_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, str] = {}
    monkeypatch.setattr(sys, "argv", ["scaling"])
    monkeypatch.setattr(scaling, "draw_curves", lambda: None)
    monkeypatch.setattr("pathlib.Path.write_text", lambda self, text, *_: written.update({self.name: text}))
    main()
    assert written == {"scaling.md": (DOCS / "scaling.md").read_text("utf-8")}


def _forbidden(*_: object) -> None:
    raise AssertionError
