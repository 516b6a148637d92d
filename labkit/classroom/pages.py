"""The pages of a report: the class, a page a student, and answers that are alike."""

import hashlib
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from labkit.files import atomic
from labkit.notebook import markers
from labkit.notebook.exercise import COLOURS

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>{title}</title><style>
:root{{color-scheme:light dark;--line:light-dark(#d0d7de,#3d444d);
--dim:light-dark(#59636e,#9198a1)}}
body{{font:15px/1.45 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem}}
h1{{font-size:1.6rem}} h2{{font-size:1.15rem;margin-top:2rem}} .scroll{{overflow-x:auto}}
table{{border-collapse:collapse;margin:.5rem 0}} caption{{text-align:left;color:var(--dim)}}
th,td{{border:1px solid var(--line);padding:4px 10px;text-align:left;vertical-align:top}}
td.mark{{text-align:center}} td.number{{text-align:right}} .dim{{color:var(--dim)}}
.chip{{color:#fff;padding:0 5px;border-radius:3px;font-weight:600}} .warn{{color:#cf222e}}
pre{{margin:0;padding:.6rem;border:1px solid var(--line);border-radius:4px;overflow-x:auto;
font:13px/1.4 ui-monospace,monospace}} .side{{display:flex;gap:1rem;overflow-x:auto}}
.side>div{{flex:1 0 22rem}} td.message{{overflow-wrap:anywhere}}
</style></head><body><h1>{title}</h1>
"""
Rows = list[dict[str, Any]]


def write_pages(
    frame: pd.DataFrame, alike: list[Rows], answers: Rows, note: str, out: Path
) -> None:
    """Write ``index.html``, ``similar.html`` and a page a submission under ``feedback/``.

    Args:
        frame: the rows of the report.
        alike: groups of answers that have one form.
        answers: what the students wrote, by submission and exercise.
        note: how the submissions ran, in a sentence.
        out: the folder; feedback of an earlier report goes.
    """
    for old in (out / "feedback").glob("*.html"):
        old.unlink()
    names = _file_names(frame.submission.unique())
    texts = {(a["submission"], a["exercise"]): a["source"] for a in answers}
    for name, rows in frame.groupby("submission", sort=False):
        save(out / "feedback" / names[name], _feedback(str(name), rows, texts))
    save(out / "index.html", _overview(frame, names, bool(alike), note))
    save(out / "similar.html", _similar(alike))


def save(path: Path, text: str) -> None:
    """Write a text, all or nothing; what is no character becomes a question mark."""
    with atomic(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "replace"))


def _file_names(submissions: Iterable[str]) -> dict[str, str]:
    """A file name for each, readable, of a length that every disk takes, and no two the same."""
    names: dict[str, str] = {}
    for name in submissions:
        short = name.replace("/", "__").replace("\\", "__")
        if len(short.encode("utf-8", "replace")) > 120 or f"{short}.html" in names.values():
            digest = hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:8]
            short = f"{short[:40]}-{digest}"
        names[name] = f"{short}.html"
    return names


def _overview(frame: pd.DataFrame, names: dict[str, str], alike: bool, note: str) -> str:
    links = "<p>" + ('<a href="similar.html">Answers that are alike</a> · ' if alike else "")
    links += '<a href="report.csv">report.csv</a></p>'
    parts = [_HEAD.format(title="Report"), f"<p>{escape(note)}</p>{links}"]
    graded, refused = frame[frame.exercise.notna()], frame[frame.exercise.isna()]
    parts += [_lab(str(lab), rows, names) for lab, rows in graded.groupby("lab")]
    parts += [_refused(refused, names)] if len(refused) else []
    return "".join(parts) + "</body></html>\n"


def _lab(lab: str, rows: pd.DataFrame, names: dict[str, str]) -> str:
    numbers = sorted(rows.exercise.unique(), key=markers.rank)
    head = "".join(f"<th>{escape(n)}</th>" for n in numbers)
    lines = []
    for name, own in rows.groupby("submission"):
        marks = {row.exercise: row for row in own.itertuples()}
        cells = "".join(_mark(marks.get(number)) for number in numbers)
        seconds = own.seconds.sum()
        lines.append(
            f"<tr><th>{_link(str(name), names)}</th>{cells}"
            f'<td class="number">{own.passed.sum()} of {len(numbers)}</td>'
            f'<td class="number">{seconds:.0f} s</td></tr>'
        )
    count = rows.submission.nunique()
    passed = rows[rows.passed].groupby("exercise").submission.nunique()
    foot = "".join(f'<td class="mark">{passed.get(n, 0)}</td>' for n in numbers)
    people = f"{count} submission{'s' * (count > 1)}"
    return (
        f'<h2>{escape(lab)}</h2><div class="scroll"><table><caption>{people}; a mark shows its '
        f"message when pointed at</caption><tr><th></th>{head}<th>passed</th><th>time</th></tr>"
        f"{''.join(lines)}<tr><th>passed by</th>{foot}<td></td><td></td></tr></table></div>"
        + _frequent(rows)
    )


def _frequent(rows: pd.DataFrame) -> str:
    """What the checks said most often: what to explain in class."""
    failed = rows[~rows.passed & (rows.whose == "yours")]
    counts = failed.groupby(["exercise", "message"]).size().sort_values(ascending=False)
    counts = counts[counts > 1].head(10)
    if counts.empty:
        return ""
    lines = [
        f'<tr><td class="number">{count}</td><td>{escape(number)}</td>'
        f'<td class="message">{escape(message)}</td></tr>'
        for (number, message), count in counts.items()
    ]
    head = "<tr><th>times</th><th>exercise</th><th>message</th></tr>"
    return f"<table><caption>Said more than once</caption>{head}{''.join(lines)}</table>"


def _refused(rows: pd.DataFrame, names: dict[str, str]) -> str:
    lines = [
        f'<tr><th>{_link(row.submission, names)}</th><td class="message">{escape(row.message)}</td>'
        for row in rows.itertuples()
    ]
    return f"<h2>Not graded</h2><table>{'</tr>'.join(lines)}</tr></table>"


def _feedback(name: str, rows: pd.DataFrame, texts: dict[tuple[str, str], str]) -> str:
    lines = []
    for row in rows.itertuples():
        source = texts.get((row.submission, row.exercise), "")
        answer = f"<details><summary>your answer</summary>{_code(source)}</details>"
        number = "" if pd.isna(row.exercise) else escape(row.exercise)
        seconds = "" if pd.isna(row.seconds) else f"{row.seconds:.1f} s"
        lines.append(
            f'<tr><th>{number}</th><td class="message">{_chip(row.message)} '
            f"{escape(row.message[1:].strip())}{answer if source else ''}</td>"
            f'<td class="number">{seconds}</td></tr>'
        )
    lab = rows.lab.iloc[0]
    title = escape(name if pd.isna(lab) else f"{name}: {lab}")
    total = f"{rows.passed.sum()} of {len(rows)} exercises passed by your own answer."
    head = "<tr><th>exercise</th><th>what the check says</th><th>time</th></tr>"
    table = f'<div class="scroll"><table>{head}{"".join(lines)}</table></div>'
    return f"{_HEAD.format(title=title)}<p>{total}</p>{table}</body></html>\n"


def _similar(alike: list[Rows]) -> str:
    parts = [
        _HEAD.format(title="Answers that are alike"),
        "<p>Equal after names, comments and layout are left out. A hint to look, and no verdict: "
        "short answers and those that follow the hints closely are often alike.</p>",
    ]
    for group in alike:
        first = group[0]
        parts.append(f"<h2>{escape(first['lab'])}, exercise {escape(first['exercise'])}</h2>")
        columns = [
            f"<div><b>{escape(a['submission'] or 'the reference')}</b>{_code(a['source'])}</div>"
            for a in group
        ]
        parts.append(f'<div class="side">{"".join(columns)}</div>')
    return "".join(parts) + ("" if alike else "<p>There are none.</p>") + "</body></html>\n"


def _code(source: str) -> str:
    return f"<pre>{escape(source)}</pre>"


def _chip(message: str) -> str:
    mark = message[:1]
    colour = COLOURS.get(mark, COLOURS["·"])
    return f'<span class="chip" style="background:{colour}">{escape(mark)}</span>'


def _mark(row: Any) -> str:
    if row is None:
        return '<td class="mark"></td>'
    return f'<td class="mark" title="{escape(row.message)}">{_chip(row.message)}</td>'


def _link(name: str, names: dict[str, str]) -> str:
    return f'<a href="feedback/{quote(names[name])}">{escape(name)}</a>'
