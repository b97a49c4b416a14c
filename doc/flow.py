"""Draws doc/flow.svg, the picture of the README: how messages become rows.

    python3 doc/flow.py >doc/flow.svg

SVG of rectangles, lines and text alone, readable on a light and on a dark page.  test/t/100_doc.pl compares the file with
what this prints.
"""

from xml.sax.saxutils import escape

OURS, KAFKA, TEXT, GRID, BAD, PAPER = "#2f6f9f", "#9aa7b1", "#57606a", "#8c959f", "#b35900", "#ffffff"
FONT = "font-family='Helvetica,Arial,sans-serif' font-size='13'"


def text(x, y, content, fill=TEXT, extra=""):
    return f"<text x='{x}' y='{y}' fill='{fill}' {extra}>{escape(content)}</text>"


def box(x, y, width, height, stroke, fill="none", extra=""):
    return f"<rect x='{x}' y='{y}' width='{width}' height='{height}' rx='4' stroke='{stroke}' fill='{fill}' {extra}/>"


def arrow(x, y, to_x, to_y, color):
    return (f"<line x1='{x}' y1='{y}' x2='{to_x - 6}' y2='{to_y}' stroke='{color}' stroke-width='1.6' "
            f"marker-end='url(#head-{color[1:]})'/>")


def head(color):
    return (f"<marker id='head-{color[1:]}' markerWidth='8' markerHeight='8' refX='3' refY='4' orient='auto'>"
            f"<path d='M0,1 L7,4 L0,7 z' fill='{color}'/></marker>")


def partition(number, y, offsets, bad):
    """A row of cells, of which one is a message that cannot be applied."""
    parts = [text(22, y + 17, f"partition {number}")]
    for i, offset in enumerate(offsets):
        wrong = offset == bad
        parts.append(box(96 + i * 32, y, 28, 24, BAD if wrong else KAFKA, BAD if wrong else KAFKA))
        parts.append(text(110 + i * 32, y + 17, str(offset), PAPER, "text-anchor='middle'"))
    return parts


def destination(y, title, what, color):
    return [box(562, y, 262, 52, color, "none", "stroke-width='1.6'"),
            text(574, y + 21, title, color, "font-weight='bold'"), text(574, y + 40, what)]


def picture():
    parts = ["<defs>", head(OURS), head(BAD), head(KAFKA), "</defs>"]

    parts += [box(8, 34, 262, 186, GRID, "none", "stroke-dasharray='4 3'"), text(20, 24, "Kafka", extra="font-weight='bold'"),
              text(22, 58, "topic “orders”")]
    parts += partition(0, 76, [40, 41, 42, 43, 44], None)
    parts += partition(1, 116, [17, 18, 19, 20, 21], 19)
    parts += partition(2, 156, [63, 64, 65, 66, 67], None)
    parts.append(text(22, 206, "no offset is read from here"))

    parts += [box(330, 34, 522, 264, GRID, "none", "stroke-dasharray='4 3'"),
              text(342, 24, "PostgreSQL", extra="font-weight='bold'")]
    parts += [box(346, 98, 124, 66, OURS, OURS), text(408, 126, "worker", PAPER, "text-anchor='middle' font-weight='bold'"),
              text(408, 146, "decodes a batch", PAPER, "text-anchor='middle'")]
    parts += [box(544, 50, 298, 236, OURS, "none", "stroke-dasharray='7 4' stroke-width='1.6'"),
              text(562, 74, "one transaction", OURS, "font-weight='bold'")]
    parts += destination(86, "your table", "a row of each message", OURS)
    parts += destination(150, "dead letters", "offset 19, whole, with its error", BAD)
    parts += destination(214, "offsets and counts", "where the next batch begins", OURS)
    parts += [arrow(270, 131, 346, 131, KAFKA), arrow(470, 120, 562, 112, OURS), arrow(470, 131, 562, 176, BAD),
              arrow(470, 144, 562, 240, OURS)]
    parts.append(text(346, 250, "commits all three or none;"))
    parts.append(text(346, 269, "starts at these offsets again"))
    return (f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 860 310' width='860' height='310' {FONT}>\n"
            "<title>A worker of PostgreSQL commits rows, dead letters and offsets in one transaction</title>\n"
            + "\n".join(parts) + "\n</svg>")


print(picture())
