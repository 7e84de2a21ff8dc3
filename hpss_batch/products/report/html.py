"""How does text that nobody can trust become a page that everybody can open?

Whatever is put into an `element` is escaped unless it is `Html`, and only this module makes `Html` of text: a track
called ``<script>`` cannot become one by being forgotten. Characters that a page cannot hold, or that would change what
is around them (control characters, lone surrogates, marks that turn the direction of writing) are shown as escapes.
"""

import base64
import html
import re
from collections.abc import Iterable

from hpss_batch.text import printable

_VOID = {"img", "meta", "link", "wbr"}
_PART = re.compile(r"[^/_]*[/_]|[^/_]+")
_CODE = re.compile(r"`([^`]*)`")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def escape(value: object, keep: str = "") -> Html:
    """Any value as text of a page, fit for attributes too.

    >>> escape('<b a="1">')
    '&lt;b a=&quot;1&quot;&gt;'
    """
    if isinstance(value, Html):
        return value
    return Html(html.escape(printable(str(value), keep), quote=True))


def element(name: str, /, *children: Child, **attributes: object) -> Html:
    """An element; attributes as keywords, ``class_`` and ``data_x`` for what Python has no name for.

    >>> element("a", "x < y", href="#t1", class_="far")
    '<a href="#t1" class="far">x &lt; y</a>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        words.append(attribute if value is True else f'{attribute}="{escape(value)}"')
    start = f"<{' '.join(words)}>"
    return Html(start) if name in _VOID else Html(f"{start}{join(children)}</{name}>")


def join(children: Child) -> Html:
    """Elements and texts, one behind the other."""
    if children is None:
        return Html("")
    if isinstance(children, str | int | float):
        return escape(children)
    return Html("".join(join(child) for child in children))


def prose(text: str) -> Html:
    """A sentence of this package's own, with what stands between backticks as code.

    >>> prose("`hpss-batch status` lists < 9")
    '<code>hpss-batch status</code> lists &lt; 9'
    """
    parts = _CODE.split(text)
    return join(element("code", part) if i % 2 else part for i, part in enumerate(parts))


def path(text: str) -> Html:
    """The name of a track, which may be broken where its folders and words end.

    >>> path("loops/<amen>_1.wav")
    'loops/<wbr>&lt;amen&gt;_<wbr>1.wav'
    """
    return join([part, element("wbr")] if part[-1] in "/_" else part for part in _PART.findall(text))


def data_uri(kind: str, data: bytes) -> Html:
    """Bytes as an address that needs no network."""
    return Html(f"data:{kind};base64,{base64.b64encode(data).decode()}")
