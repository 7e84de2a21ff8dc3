"""What is handed out as a picture? A matplotlib figure of nobody else's, which a notebook shows."""

import io

from matplotlib.figure import Figure


class Picture(Figure):
    """A figure that pyplot does not know: whoever has it last closes it. A notebook shows it as the value of a cell."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
