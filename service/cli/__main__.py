"""`python -m service.cli`: the command without its script, for child processes."""

from service.cli import main

main()
