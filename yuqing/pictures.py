"""What all pictures look like: colours, plain axes, words in a font that has them."""

from __future__ import annotations

from functools import cache

from matplotlib import font_manager
from matplotlib.axes import Axes

DPI = 130
WIDTH_IN = 13.0
INK, GREY, BLUE, RED = "#1f2933", "#9aa5b1", "#1f6fb2", "#c8553d"


def plain(axes: Axes) -> None:
    """Make axes quiet: a pale grid behind, no frame above and to the right."""
    axes.grid(visible=True, color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def printable(words: str) -> str:
    r"""The words, what matplotlib's font lacks (Chinese, for one) written as escapes: distinct names stay distinct.

    >>> printable("topic:宏观")
    'topic:\\u5b8f\\u89c2'
    """
    known = _characters()
    return "".join(one if ord(one) in known and one.isprintable() else one.encode("unicode_escape").decode() for one in words)


@cache
def _characters() -> frozenset[int]:
    return frozenset(font_manager.get_font(font_manager.findfont(font_manager.FontProperties())).get_charmap())
