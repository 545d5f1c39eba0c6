"""The results as a table, as JSON, as a plot, and in docs/performance.md."""

import json
import os
from html import escape

from .turns import holds

HEADS = ["case", "compared with", "goal", "reached", "tablelift s", "peer s", "peak MiB"]


def number(value, unit=""):
    text = f"{value:.2f}" if value < 10 or unit == "" else f"{value:.0f}"
    return f"{text} {unit}".strip()


def cells(result):
    """One line of the table."""
    peer = result["peer"]
    ours = result["ours"]
    times = "" if result["group"] == "memory" else f"{ours['seconds']:.1f}"
    rows = "" if peer is None or peer["rows"] == ours["rows"] else f" ({peer['rows']:,} rows)"
    return [
        result["case"], result["compared_with"],
        f"{'≥' if result['bound'] == 'at least' else '≤'} {result['goal']:g} {result['unit']}".strip(),
        number(result["reached"], result["unit"]) + ("" if holds(result) else " (missed)"),
        times, "" if peer is None else f"{peer['seconds']:.1f}{rows}", f"{ours['peak_mib']:.0f}",
    ]


def text(results):
    """The table for a terminal."""
    table = [HEADS, *(cells(result) for result in results)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADS))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table)


def markdown(results):
    table = [HEADS, ["---"] * len(HEADS), *(cells(result) for result in results)]
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


STYLE = """
  .back { fill: #ffffff } text { fill: #1f2328; font: 13px system-ui, sans-serif }
  .note { fill: #59636e; font-size: 12px } .yes { fill: #2a78d6 } .no { fill: #c2570c }
  .goal { stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } text { fill: #e6edf3 } .note { fill: #9198a1 }
    .yes { fill: #4c94ea } .no { fill: #e8833a } .goal { stroke: #e6edf3 }
  }
"""
LEFT, WIDTH, STEP, TOP, END = 420, 400, 34, 56, 100


def svg(results):
    """Each bar is the share of its own goal that was reached, so that one line is the goal of all."""
    height = TOP + STEP * len(results) + 12
    full = LEFT + WIDTH + END
    goal = LEFT + WIDTH / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full} {height}" role="img" '
        f'aria-label="Ratios reached, against their goals">',
        f"<style>{STYLE}</style>", f'<rect class="back" width="{full}" height="{height}"/>',
        f'<text x="{goal}" y="22" text-anchor="middle">goal</text>',
        f'<text class="note" x="{goal}" y="40" text-anchor="middle">further right is better; bars end at twice the goal</text>',
    ]
    for at, result in enumerate(results):
        y = TOP + at * STEP
        share = result["reached"] / result["goal"] if result["bound"] == "at least" else (
            result["goal"] / max(result["reached"], 1e-9))
        length = min(share, 2) * WIDTH / 2
        kind = "yes" if holds(result) else "no"
        sign = "≥" if result["bound"] == "at least" else "≤"
        label = f"{number(result['reached'], result['unit'])} ({sign} {result['goal']:g})"
        against = f"against {result['compared_with']}" if result["compared_with"] else ""
        parts += [
            f'<text x="{LEFT - 10}" y="{y + (11 if against else 17)}" text-anchor="end">{escape(result["case"])}</text>',
            f'<text class="note" x="{LEFT - 10}" y="{y + 26}" text-anchor="end">{escape(against)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y + 4}" width="{length:.1f}" height="18" rx="2"/>',
            f'<text x="{max(LEFT + length, goal) + 6:.1f}" y="{y + 18}">{escape(label)}</text>',
        ]
    parts += [f'<line class="goal" x1="{goal}" x2="{goal}" y1="{TOP - 8}" y2="{height - 8}"/>', "</svg>"]
    return "\n".join(parts) + "\n"


def write(folder, about, results, skipped):
    """results.json and ratios.svg."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as out:
        json.dump({"about": about, "results": results, "left_out": skipped}, out, indent=1, ensure_ascii=False)
        out.write("\n")
    with open(os.path.join(folder, "ratios.svg"), "w", encoding="utf-8") as out:
        out.write(svg(results))


BEGIN, END_MARK = "<!-- scripts/bench --docs writes from here -->", "<!-- to here -->"


def write_docs(docs, about, results, skipped):
    """The table between the two marks of docs/performance.md, and docs/performance.svg."""
    path = os.path.join(docs, "performance.md")
    with open(path, encoding="utf-8") as page:
        before, rest = page.read().split(BEGIN, 1)
    after = rest.split(END_MARK, 1)[1]
    left_out = "".join(f"\nLeft out: {name}, {why}.\n" for name, why in skipped.items())
    with open(path, "w", encoding="utf-8") as page:
        page.write(f"{before}{BEGIN}\n{about['text']}\n\n{markdown(results)}\n{left_out}{END_MARK}{after}")
    with open(os.path.join(docs, "performance.svg"), "w", encoding="utf-8") as out:
        out.write(svg(results))
