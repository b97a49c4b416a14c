"""Draws the pictures of the manual.

    svg.py bars < LINES      "name <tab> messages per second", the first is ours
    svg.py curves < LINES    "curve <tab> x <tab> messages per second"

Writes SVG to the standard output: text and rectangles alone, so that it is readable wherever images are shown, on a
light and on a dark page.
"""

import math
import sys
from xml.sax.saxutils import escape

OURS, OTHERS, TEXT, GRID = "#2f6f9f", "#9aa7b1", "#57606a", "#d0d7de"
FONT = "font-family='Helvetica,Arial,sans-serif' font-size='13'"


def text(x, y, content, anchor="start", extra=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='{TEXT}' {extra}>{escape(content)}</text>"


def document(width, height, parts):
    return "\n".join([f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' "
                      f"height='{height}' {FONT}>", *parts, "</svg>"])


def bars(lines):
    """One bar for each line, all on one linear scale."""
    rows = [(name, float(value)) for name, value in (line.rstrip("\n").split("\t") for line in lines)]
    top = max(value for _, value in rows)
    left, width, step = 350, 760, 34
    parts = []
    for i, (name, value) in enumerate(rows):
        y = 12 + i * step
        length = max(1.5, value / top * (width - left - 100))
        parts.append(text(left - 10, y + 15, name, "end"))
        parts.append(f"<rect x='{left}' y='{y}' width='{length:.1f}' height='22' fill='{OURS if i == 0 else OTHERS}'/>")
        parts.append(text(left + length + 8, y + 15, f"{value:,.0f}/s"))
    return document(width, 12 + len(rows) * step + 8, parts)


def panel(x0, y0, title, points):
    """A small chart: x by its logarithm where it spans much, y from zero."""
    width, height = 300, 150
    logarithmic = points[-1][0] / points[0][0] > 20
    scale = math.log if logarithmic else float
    low, high = scale(points[0][0]), scale(points[-1][0])
    top = max(y for _, y in points) * 1.15
    place = [(x0 + (scale(x) - low) / ((high - low) or 1) * width, y0 + height - y / top * height) for x, y in points]
    parts = [text(x0, y0 - 12, f"messages/s over {title}", extra="font-weight='bold'"),
             f"<line x1='{x0}' y1='{y0 + height}' x2='{x0 + width}' y2='{y0 + height}' stroke='{GRID}'/>",
             "<polyline fill='none' stroke='{}' stroke-width='2' points='{}'/>".format(
                 OURS, " ".join(f"{x:.1f},{y:.1f}" for x, y in place))]
    for (x, y), (value_x, value_y) in zip(place, points):
        parts.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{OURS}'/>")
        parts.append(text(x, y - 8, f"{value_y / 1000:,.0f}k", "middle"))
        parts.append(text(x, y0 + height + 18, f"{value_x:g}" if value_x < 10000 else f"{value_x:,.0f}", "middle"))
    return parts


def curves(lines):
    """Four panels, two in a row."""
    found = {}
    for line in lines:
        name, x, y = line.rstrip("\n").split("\t")
        found.setdefault(name, []).append((float(x), float(y)))
    parts = []
    for i, (name, points) in enumerate(found.items()):
        parts += panel(40 + i % 2 * 390, 45 + i // 2 * 230, name, sorted(points))
    return document(780, 30 + (len(found) + 1) // 2 * 230, parts)


print({"bars": bars, "curves": curves}[sys.argv[1]](sys.stdin))
