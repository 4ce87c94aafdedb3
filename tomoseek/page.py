"""Pages that need nothing else, for people to read: pieces of HTML, their texts escaped, and pictures within."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

from matplotlib.figure import Figure

from tomoseek import plots

PAGE = Path(__file__).with_name("page.html")
CSS_PIXELS_PER_INCH = 96


class Picture(NamedTuple):
    """A figure for the page: a ``data:`` address, its width on the page in pixels, the sentence under it."""

    image: str
    width: int
    caption: str


def picture(figure: Figure, caption: str) -> Picture:
    """Render a figure at the size it was laid out for, so that its letters match the page's."""
    dpi = 160
    png = plots.to_png(figure, dpi)
    width = int.from_bytes(png[16:20], "big")  # pixels, as the PNG header says
    address = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    return Picture(address, round(width / dpi * CSS_PIXELS_PER_INCH), caption)


def fill_page(
    *, title: str, subtitle: str, tiles: Sequence[str], sections: Sequence[str], footer: Sequence[str]
) -> str:
    """Make a page.

    Parameters
    ----------
    title, subtitle
        Plain text.
    tiles, sections
        As `tile` and `section` make them.
    footer
        Lines of plain text.
    """
    return Template(PAGE.read_text()).substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        tiles="\n".join(tiles),
        sections="\n".join(sections),
        footer="<br>".join(map(escape, footer)),
    )


def tile(number: str, what: str, more: str) -> str:
    """A number, large, with what it is."""
    small = f"<small>{escape(more)}</small>"
    return f'<div class="tile"><b>{escape(number)}</b><span>{escape(what)}</span>{small}</div>'


def section(title: str, body: str) -> str:
    """A titled block of the page; the title may hold markup."""
    return f"<section><h2>{title}</h2>\n{body}\n</section>"


def figure(picture: Picture) -> str:
    """A picture with its caption."""
    caption = escape(picture.caption)
    image = f'<img src="{picture.image}" width="{picture.width}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """A table of escaped cells."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    end = f"<tfoot>{line(foot, 'td')}</tfoot>" if foot else ""
    content = f"<thead>{line(head, 'th')}</thead><tbody>{body}</tbody>{end}"
    return f'<div class="scroll"><table>{content}</table></div>'
