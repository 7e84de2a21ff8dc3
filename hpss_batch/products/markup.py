"""How does text that nobody can trust become a page that everybody can open?

Whatever is put into an `element` is escaped unless it is `Html`, and only this module makes `Html` of text: a track
called ``<script>`` cannot become one by being forgotten. Characters that a page cannot hold, or that would change what
is around them (control characters, lone surrogates, marks that turn the direction of writing) are shown as escapes.
"""

import base64
import html
import re
from collections.abc import Iterable

_VOID = {"img", "meta", "link", "wbr"}
_PART = re.compile(r"[^/_]*[/_]|[^/_]+")
_CODE = re.compile(r"`([^`]*)`")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]


def printable(text: str, keep: str = "") -> str:
    """Text with everything that cannot be seen as an escape, but for the characters in `keep`.

    >>> printable("a\\nb\\udce9 caf\\u00e9")
    'a\\\\nb\\\\udce9 café'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


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


def duration(seconds: float) -> str:
    """Time as a person says it; two that differ much never read alike, however short.

    >>> duration(4.26), duration(61), duration(3725), duration(400_000)
    ('4.3 s', '1 min 1 s', '1 h 2 min', '111 h')
    >>> duration(0), duration(0.0116), duration(0.24)
    ('0 s', '12 ms', '0.24 s')
    """
    if seconds < 0.0995:
        return f"{1000 * seconds:.2g} ms" if seconds else "0 s"
    if seconds < 59.5:
        return f"{seconds:.{2 if seconds < 0.995 else 1 if seconds < 9.95 else 0}f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 100 else f"{hours:,} h"


def n_bytes(value: float) -> str:
    """Bytes in the unit that reads best, those of `hpss-batch plan`.

    >>> n_bytes(900), n_bytes(2.5 * 2**30)
    ('900 B', '2.5 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
