"""The report of a validation as one HTML page that needs nothing besides itself; pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

__all__ = ["page"]

_NOW, _BEFORE = "#2563eb", "#f59e0b"
_STYLE = f"""
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #1f2937 }}
h1 {{ font-size: 1.5rem; margin-bottom: .2rem }} h2 {{ font-size: 1.1rem; margin-top: 2rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #e5e7eb; vertical-align: top }}
th {{ color: #6b7280; font-weight: 600 }} td.n {{ text-align: right; font-variant-numeric: tabular-nums }}
.tag {{ border-radius: 4px; padding: 0 .4rem; font-weight: 600; font-size: 12px; white-space: nowrap }}
.FAIL {{ background: #fee2e2; color: #b91c1c }} .PASS {{ background: #dcfce7; color: #15803d }}
.WARN {{ background: #fef3c7; color: #b45309 }} .INCONCLUSIVE {{ background: #e5e7eb; color: #4b5563 }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(330px, 1fr)); gap: 1rem }}
.card {{ border: 1px solid #e5e7eb; border-radius: 8px; padding: .6rem .8rem }}
.card h3 {{ margin: 0; font-size: 14px }} .muted {{ color: #6b7280; font-size: 12px }}
svg {{ width: 100%; height: auto }}
summary {{ cursor: pointer; margin: .6rem 0 }} code {{ font-size: 12px; overflow-wrap: anywhere }}
.now {{ color: {_NOW} }} .before {{ color: {_BEFORE} }}
"""


def page(report: Mapping[str, Any]) -> str:
    """The page for `ValidationReport.to_json`; every text of the data is escaped."""
    what = "committed" if report["committed"] else "refused"
    made = datetime.fromtimestamp(report["made_s"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    parts = [
        f"<h1>Validation of {escape(report['table'])}: {_tag('PASS' if report['committed'] else 'FAIL', what)}</h1>",
        f"<p class=muted>run {escape(report['run_id'])} · {made} · {report['files']:,} files · {report['rows']:,} "
        f"rows, "
        f"{report['good_rows']:,} good, {report['rows'] - report['good_rows']:,} quarantined · "
        f"{report['duplicate_share']:.2%} duplicates</p>",
        f"<p class=muted>bad rows: <code>{escape(report['quarantine_uri'])}</code></p>"
        if report["quarantine_uri"]
        else "",
        _rules(report["results"]),
        _history(report),
        _columns(report),
    ]
    title = escape(f"{report['table']}: validation")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _tag(kind: str, text: str) -> str:
    return f"<span class='tag {kind}'>{escape(text)}</span>"


def _rules(results: Sequence[Mapping[str, Any]]) -> str:
    weight = {"FAIL": 0, "INCONCLUSIVE": 1, "PASS": 2}
    severity = {"block": 0, "quarantine": 1, "warn": 2}
    ordered = sorted(results, key=lambda r: (weight[r["verdict"]], severity[r["severity"]]))
    notable = [r for r in ordered if r["verdict"] != "PASS"]
    kept = [r for r in ordered if r["verdict"] == "PASS"]
    shown = _rule_table(notable) if notable else "<p>Every rule is kept.</p>"
    return f"<h2>Rules</h2>{shown}<details><summary>{len(kept)} rules kept</summary>{_rule_table(kept)}</details>"


def _rule_table(results: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for r in results:
        kind = "WARN" if r["verdict"] == "FAIL" and r["severity"] != "block" else r["verdict"]
        examples = ", ".join(f"<code>{escape(e)}</code>" for e in r["examples"])
        rows.append(
            f"<tr><td>{_tag(kind, r['verdict'])}</td><td>{escape(r['rule'])}</td><td>{r['severity']}</td>"
            f"<td class=n>{r['rows']:,}</td><td>{escape(r['message'])}</td><td>{examples}</td></tr>"
        )
    head = "<tr><th></th><th>rule</th><th>severity</th><th>rows</th><th></th><th>examples</th></tr>"
    return f"<table>{head}{''.join(rows)}</table>"


def _history(report: Mapping[str, Any]) -> str:
    bars = [(past["ref"].partition("@")[2], past["added_rows"], _BEFORE) for past in report["history"][-30:]]
    bars.append(("this batch", report["good_rows"], _NOW))
    top = max(1, *(rows for _, rows, _ in bars))
    width = 700 / len(bars)
    drawn = "".join(
        f"<rect x='{i * width + 1:.1f}' y='{110 - 100 * rows / top:.1f}' width='{max(1, min(60, width - 2)):.1f}' "
        f"height='{100 * rows / top:.1f}' fill='{colour}'><title>{escape(name)}: {rows:,} rows</title></rect>"
        f"<text x='{i * width + 1:.1f}' y='124' font-size='10' fill='#6b7280'>{escape(name if width > 22 else '')}"
        "</text>"
        for i, (name, rows, colour) in enumerate(bars)
    )
    return f"<h2>Rows added by each version</h2><svg viewBox='0 0 700 130' role=img>{drawn}</svg>"


def _columns(report: Mapping[str, Any]) -> str:
    cards = [
        _card(name, column, report["previous"].get(name), report["label_power"].get(name))
        for name, column in report["columns"].items()
    ]
    before = f", <b class=before>{escape(report['history'][-1]['ref'])}</b>" if report["previous"] else ""
    legend = f"<p class=muted><b class=now>this batch</b>{before}; shares of the rows</p>"
    return f"<h2>Columns</h2>{legend}<div class=cards>{''.join(cards)}</div>"


def _card(name: str, column: Mapping[str, Any], before: Mapping[str, Any] | None, power: float | None) -> str:
    facts = [f"{_share(column):.2%} null" + (f" (before {_share(before):.2%})" if before else "")]
    facts.append(f"{'' if column['distinct_exact'] else 'about '}{column['distinct']:,} distinct")
    if "mean" in column:
        was = f" (before {before['mean']:.4g} ± {before['std']:.4g})" if before and "mean" in before else ""
        facts.append(f"{column['min']:.4g} … {column['max']:.4g}, mean {column['mean']:.4g} ± {column['std']:.4g}{was}")
    elif column["kind"] == "time" and "min" in column:
        facts.append(f"{_time(column['min'])} … {_time(column['max'])}")
    if power is not None:
        facts.append(f"alone predicts the label with {power:.3f}")
    return (
        f"<div class=card><h3>{escape(name)} <span class=muted>{column['kind']}</span></h3>"
        f"<div class=muted>{' · '.join(facts)}</div>{_plot(column, before)}</div>"
    )


def _share(column: Mapping[str, Any]) -> float:
    return column["nulls"] / column["rows"] if column["rows"] else 0.0


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def _plot(column: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if "histogram" in column:
        shares = column["histogram"]["shares"]
        other = before["histogram"]["shares"] if before and "histogram" in before else None
        edges = column["histogram"]["edges"]
        return _bars(shares, other, (f"< {edges[0]:.4g}", f"> {edges[-1]:.4g}"))
    if column["top"] and column["kind"] not in ("time", "text"):
        return _values(column, before)
    return ""


def _bars(shares: Sequence[float], other: Sequence[float] | None, ends: tuple[str, str]) -> str:
    width, top = 320 / len(shares), max([*shares, *(other or ()), 1e-9])
    drawn = "".join(
        f"<rect x='{i * width:.1f}' y='{80 - 78 * s / top:.1f}' width='{width - 1:.1f}' height='{78 * s / top:.1f}' "
        f"fill='{_NOW}' opacity='.75'><title>{s:.2%}</title></rect>"
        for i, s in enumerate(shares)
    )
    if other is not None:
        points = " ".join(f"{(i + 0.5) * width:.1f},{80 - 78 * s / top:.1f}" for i, s in enumerate(other))
        drawn += f"<polyline points='{points}' fill='none' stroke='{_BEFORE}' stroke-width='2'/>"
    labels = (
        f"<text x='0' y='93' font-size='10' fill='#6b7280'>{escape(ends[0])}</text>"
        f"<text x='320' y='93' font-size='10' fill='#6b7280' text-anchor='end'>{escape(ends[1])}</text>"
    )
    return f"<svg viewBox='0 0 320 96' role=img>{drawn}{labels}</svg>"


def _values(column: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    present = max(1, column["rows"] - column["nulls"])
    was = {}
    if before is not None:
        was = {value: n / max(1, before["rows"] - before["nulls"]) for value, n in before["top"] or ()}
    lines = []
    for i, (value, n) in enumerate(column["top"]):
        y, share = 4 + 18 * i, n / present
        lines.append(
            f"<rect x='110' y='{y}' width='{160 * share:.1f}' height='7' fill='{_NOW}'/>"
            f"<rect x='110' y='{y + 7}' width='{160 * was.get(value, 0):.1f}' height='4' fill='{_BEFORE}'/>"
            f"<text x='104' y='{y + 9}' font-size='10' text-anchor='end'>{escape(value[:18])}</text>"
            f"<text x='318' y='{y + 9}' font-size='10' text-anchor='end' fill='#6b7280'>{share:.1%}</text>"
        )
    return f"<svg viewBox='0 0 320 {8 + 18 * len(lines)}' role=img>{''.join(lines)}</svg>"
