"""`python -m hpss_batch` is `hpss-batch`."""

from hpss_batch.cli import main

main(prog_name="hpss-batch")
