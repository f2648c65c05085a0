import math
import sys
from dataclasses import fields, replace

import pytest

from benchmarks import scaling
from benchmarks.method_rows import DOCS
from benchmarks.scaling import Assumptions, Curve, Plan, curves, main


def test_the_exponent_is_the_slope_from_where_it_is_fitted() -> None:
    points = [(10, 5.0), (100, 2.0), (1_000, 16.0), (10_000, 128.0)]
    assert Curve("", "", "", points, 100, "").exponent == pytest.approx(math.log10(8))
    assert Curve("", "", "", points, 10_000, "").exponent is None
    assert Curve("", "", "", [(1, 71.0), (10, 70.9)], 1, "").growth == "N^0.00"  # not -0.00


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


@pytest.mark.parametrize("name", [field.name for field in fields(Assumptions)])
def test_what_is_called_measured_is_so_whatever_is_assumed(name: str) -> None:
    city = Assumptions(cameras=10_000)
    half = type(getattr(city, name))(getattr(city, name) / 2)
    _, _, *lines = scaling.plan_table({"city": city, "other": replace(city, **{name: half})})
    said = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    measured = [(one, two) for _, one, two, known in said if known == "measured"]
    assert measured
    assert all(one == two for one, two in measured)
    changed = {known for _, one, two, known in said if one != two}
    assert changed
    assert changed <= {"computed", "assumed"}


def test_the_page_says_how_each_line_of_the_plan_is_known() -> None:
    lines = [line.strip("|").split("|") for line in scaling.page() if line.startswith("| ")]
    known = {cells[0].strip(): cells[-1].strip() for cells in lines if len(cells) == len(scaling.PLANS) + 2}
    assert {what for what, how in known.items() if how == "measured"} == {
        "indexing at 2 fps, core-hours",
        "indexing keyframes alone, core-hours",
    }
    assert {what for what, how in known.items() if how == "assumed"} == {"cameras", "people who pass", "days"}
    assert known["search, ms"] == "not measured"


def test_sizes_are_those_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    read = scaling._read
    users = read("users") | {"rows": 4_321, "pause_s": 7.0}
    large = read("search_large")
    few = large | {"results": [row for row in large["results"] if row["rows"] <= 1_000_000]}
    monkeypatch.setattr(scaling, "_read", lambda name: {"users": users, "search_large": few}.get(name) or read(name))
    page = "\n".join(scaling.page())
    assert "gallery of 4,321 rows; from the picture to its hits, a search each 7 seconds" in page
    assert "the most that were measured: 1,000,000;" in page
    assert Plan(Assumptions()).galleries == 1
    assert Assumptions().rows == 1_000_000


def test_a_plan_for_other_assumptions_is_printed_and_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", "--cameras", "200", "--days", "14"])
    monkeypatch.setattr("pathlib.Path.write_text", _forbidden)
    main()
    said = capsys.readouterr().out
    assert "| cameras | 200 | assumed |" in said
    assert "| days | 14 | assumed |" in said


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--cameras", "0"], "--cameras: more than 0"),
        (["--busy", "0"], "--busy: more than 0"),
        (["--busy", "1.5"], "--busy: a share, more than 0 and at most 1"),
        (["--busy", "nan"], "--busy: a share, more than 0 and at most 1"),
    ],
)
def test_what_cannot_be_is_one_line(
    wrong: list[str], why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["scaling", *wrong])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert why in capsys.readouterr().err.splitlines()[-1]


def test_the_page_says_what_the_files_say(monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, str] = {}
    monkeypatch.setattr(sys, "argv", ["scaling"])
    monkeypatch.setattr(scaling, "draw_curves", lambda: None)
    monkeypatch.setattr("pathlib.Path.write_text", lambda self, text, *_: written.update({self.name: text}))
    main()
    assert written == {"scaling.md": (DOCS / "scaling.md").read_text("utf-8")}


def _forbidden(*_: object) -> None:
    raise AssertionError
