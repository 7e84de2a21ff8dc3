"""How is a number of things put in words?"""


def counted(n: int, thing: str) -> str:
    """A number of things, in the singular where it is one.

    >>> counted(1, "unit"), counted(1200, "unit")
    ('1 unit', '1,200 units')
    """
    return f"{n:,} {thing}" + ("" if n == 1 else "s")
