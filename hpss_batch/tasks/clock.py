"""Which step of a task takes how long?"""

from time import perf_counter


class Clock:
    """Shares the time that passes among steps: each moment belongs to the step that was named last.

    Parameters
    ----------
    *steps : str
        The steps there are.

    Examples
    --------
    >>> clock = Clock("read", "write")
    >>> clock.step("read")
    >>> clock.step(None)
    >>> clock.seconds["write"]
    0.0
    """

    def __init__(self, *steps: str) -> None:
        self._seconds = dict.fromkeys(steps, 0.0)
        self._step: str | None = None
        self._since = 0.0

    def step(self, name: str | None) -> None:
        """Begin a step, which ends the one before; None to stop."""
        now = perf_counter()
        if self._step is not None:
            self._seconds[self._step] += now - self._since
        self._step, self._since = name, now

    @property
    def seconds(self) -> dict[str, float]:
        """What each step has taken, up to the last time that one began or ended."""
        return {step: round(value, 4) for step, value in self._seconds.items()}
