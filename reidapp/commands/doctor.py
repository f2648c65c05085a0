"""`reidapp doctor`."""

import typer

from reidapp.commands import output
from reidapp.commands.options import JsonOption


def doctor(json: JsonOption = False) -> None:
    """Check this installation, and say how to mend what is wrong."""
    from reidapp.doctor import diagnose

    checks = diagnose()
    output.show({"checks": [check.to_dict() for check in checks]}, "\n".join(map(str, checks)), json)
    if any(check.status == "fail" for check in checks):
        raise typer.Exit(1)
