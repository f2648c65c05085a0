"""The two ways a command can go wrong, and their exit codes."""


class ReidappError(Exception):
    """The work failed for a reason that the message explains (exit code 1).

    The message is shown to the user as it is: one line that names the file or option, what is wrong, and what to do.
    """

    exit_code = 1


class UserError(ReidappError):
    """Bad usage, or no usable input (exit code 2)."""

    exit_code = 2


class UnavailableError(ReidappError):
    """A database lets nobody in just now, or too many ask at once; the same may work in a moment."""


class UnknownError(UserError):
    """What was asked for by its name or id is not there."""
