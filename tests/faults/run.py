# SPDX-License-Identifier: Apache-2.0
"""`make faults`: what decisions cost and whether limits hold while things fail, a row a fault. README.md
tells what the rows and columns are.

    run.py [--markdown] [NAME ...]    # those whose names contain a NAME; else all
"""

import sys
import traceback

from harness import EXCESS_MS, NotHere, is_late, measure  # first: it sets the path

import faults_network
import faults_process
import faults_server
import faults_tls
import faults_topology

MODULES = [faults_process, faults_network, faults_server, faults_tls, faults_topology]
COLUMNS = [("fault", "%-21s"), ("calls", "%6d"), ("lost", "%4d"), ("store", "%6d"),
           ("local", "%6d"), ("open", "%5d"), ("closed", "%6d"), ("p50 ms", "%6.2f"),
           ("p99.9 ms", "%8.1f"), ("wait ms", "%7.1f"), ("excess ms", "%9.1f"), ("over", "%4d"), ("outside", "%7d"),
           ("in flight", "%9d"), ("breaker", "%7d"), ("recovery s", "%10s")]


def all_faults():
    return [fault for module in MODULES for fault in module.FAULTS]


def cells(fault, found):
    back = found["recovery"]
    return [fault.name, found["calls"], found["lost"], found["store"], found["local"],
            found["open"], found["closed"], found["p50"], found["p999"], found["wait"],
            found["excess"], found["over"], found["outside"], found["in_flight"], found["opened"],
            "never" if back is None else "%.2f" % back]


def width(form):
    return int("".join(c for c in form.split(".")[0] if c.isdigit()))


def row(values, markdown):
    texts = [form % value for (_, form), value in zip(COLUMNS, values)]
    return "| " + " | ".join(text.strip() for text in texts) + " |" if markdown else " ".join(texts)


def head(markdown):
    names = [name for name, _ in COLUMNS]
    if markdown:
        return "| %s |\n| --- |%s" % (" | ".join(names), " ---: |" * (len(names) - 1))
    return " ".join(("%-*s" if i == 0 else "%*s") % (width(form), name)
                    for i, (name, form) in enumerate(COLUMNS))


def run_one(fault, markdown):
    """Returns (how it went, what is to be said of it below the table)."""
    try:
        found = measure(fault)
    except NotHere as why:
        return "not run", "%s: not run: %s" % (fault.name, why)
    except Exception:  # the other rows are worth having
        return "failed", "%s: FAILED:\n%s" % (fault.name, traceback.format_exc())
    print(row(cells(fault, found), markdown), flush=True)
    bad = found["bad"] + ["more than %d ms late" % EXCESS_MS] * is_late(found)
    if bad:
        return "failed", "%s: FAILED: %s" % (fault.name, ", ".join(bad))
    if found["outside"]:
        return "passed", "%s: outside of law 1, at most %d: %s" % (fault.name, fault.unkept,
                                                                   fault.unkept_why)
    return "passed", None


def main(words):
    markdown = "--markdown" in words
    wanted = [word for word in words if word != "--markdown"]
    faults = [f for f in all_faults() if not wanted or any(w in f.name for w in wanted)]
    counts = {"passed": 0, "failed": 0, "not run": 0}
    notes = []
    print(head(markdown), flush=True)
    for fault in faults:
        how, note = run_one(fault(), markdown)
        counts[how] += 1
        notes += [note] * (note is not None)
    print("\n".join([""] * bool(notes) + notes))
    print(", ".join("%d %s" % (n, what) for what, n in counts.items() if n or what != "not run"))
    return 0 if counts["passed"] and counts["passed"] == len(faults) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
