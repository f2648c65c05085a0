"""`python -m reidapp` is the same as the `reidapp` command."""

from reidapp.cli import main

main()
