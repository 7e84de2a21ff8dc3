"""`python -m hpss_batch` is `hpss-batch`; workers import what started their driver, so that this must cost nothing."""


def main() -> None:
    """Run the command line."""
    from hpss_batch.cli import main

    main(prog_name="hpss-batch")


if __name__ == "__main__":
    main()
