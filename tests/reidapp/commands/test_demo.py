import contextlib

from reidapp.commands.demo import _place
from reidapp.errors import UserError
from reidapp.server.run import Place


def test_minutes_of_work_do_not_end_at_a_port_that_is_taken() -> None:
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(UserError):  # somebody else has it already
            taken.enter_context(Place(7860).bind())
        place = _place()
    assert place == Place(0)
    place.bind().close()
