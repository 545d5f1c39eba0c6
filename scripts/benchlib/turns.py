"""Runs the contenders of a group in turn and works out what is said of them."""

import sys
from statistics import median

from . import measure
from .world import Ratio


class Differs(Exception):
    """A copy is not equal to its source."""


def run(group, repeats):
    """Every contender once in each round, the first one another each time; their measures, and
    why peers failed."""
    measures, failed = {contender.name: [] for contender in group.contenders}, {}
    for turn in range(min(repeats, group.repeats or repeats)):
        shift = turn % len(group.contenders)
        for contender in group.contenders[shift:] + group.contenders[:shift]:
            if contender.name in failed:
                continue
            contender.fresh()
            try:
                measured = measure.run(contender.command)
            except measure.Failed as failure:
                if contender.ours:
                    raise
                failed[contender.name] = str(failure)
                continue
            found = contender.digest()
            if found != contender.expected:
                raise Differs(f"{contender.name}: {found} instead of {contender.expected}")
            extra = contender.extra(measured) if contender.extra else None
            measures[contender.name].append((measured, extra))
            print(f"  {contender.name:<12} {measured.seconds:8.2f} s {contender.rows / measured.seconds:12,.0f} rows/s "
                  f"{measured.peak_mib:7.0f} MiB" + ("" if extra is None else f"  {extra:.2f}"), file=sys.stderr)
    return measures, failed


def lines(name, group, measures, failed):
    """One result for each line that the group says, but for peers that failed."""
    rows = {contender.name: contender.rows for contender in group.contenders}
    said = [line for line in group.lines if not (isinstance(line, Ratio) and line.peer in failed)]
    return [line_of(name, line, measures, rows) for line in said]


def line_of(name, line, measures, rows):
    ours = measures[line.ours]
    result = {"group": name, "case": line.case, "goal": line.goal, "ours": side(ours, rows[line.ours])}
    if isinstance(line, Ratio):
        peer = measures[line.peer]
        # Of runs that were neighbours, because the machine's speed changes from minute to minute.
        ratios = [rows[line.ours] / one.seconds / (rows[line.peer] / other.seconds)
                  for (one, _), (other, _) in zip(ours, peer)]
        result |= {"compared_with": line.peer_name, "bound": "at least", "unit": "", "values": ratios,
                   "peer": side(peer, rows[line.peer])}
    else:
        result |= {"compared_with": "", "bound": "at most", "unit": line.unit,
                   "values": [extra for _, extra in ours], "peer": None}
    result["reached"] = median(result["values"])
    return result


def side(measures, rows):
    """One contender's medians, and its highest peak."""
    seconds = [one.seconds for one, _ in measures]
    return {
        "rows": rows,
        "seconds": median(seconds),
        "all_seconds": seconds,
        "cpu_seconds": median(one.cpu for one, _ in measures),
        "peak_mib": max(one.peak_mib for one, _ in measures),
    }


def memory(results, wide):
    """The highest peak of all of tablelift's runs but those of wide rows."""
    peaks = [result["ours"] for result in results if result["group"] != wide]
    if not peaks:
        return []
    highest = max(peaks, key=lambda ours: ours["peak_mib"])
    return [{"group": "memory", "case": "peak memory, all cases above", "compared_with": "", "bound": "at most",
             "goal": 32.0, "unit": "MiB", "values": [ours["peak_mib"] for ours in peaks],
             "reached": highest["peak_mib"], "ours": highest, "peer": None}]


def holds(result):
    """The goal is reached, as far as the table's two digits show it."""
    reached = round(result["reached"], 2)
    return reached >= result["goal"] if result["bound"] == "at least" else reached <= result["goal"]
