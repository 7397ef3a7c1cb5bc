"""A conversion's report as files: ``report.json``, and ``report.html`` with its pictures inside."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from scenekit.assets.atomic import replacing

JSON, HTML = "report.json", "report.html"
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;"
    "text-align:right}td:first-child,th:first-child{text-align:left}img{width:100%;image-rendering:pixelated}"
    ".row{display:grid;grid-template-columns:repeat(3,1fr);gap:.5em}figure{margin:0}figcaption{color:#666}"
)
Row = tuple[str, str, str]


def write_report(run: Path, figures: Mapping[str, Any], pictures: Sequence[tuple[str, Tensor, Tensor, Tensor]]) -> None:
    """Write both files into ``run``; the page needs nothing but itself."""
    with replacing(run / JSON) as file:
        file.write_text(json.dumps(figures, indent=2) + "\n")
    with replacing(run / HTML) as file:
        file.write_text(page(figures, pictures), encoding="utf-8")


def summary(figures: Mapping[str, Any]) -> list[Row]:
    """The table that is printed and shown: what, before, after."""
    before, after = figures["teacher"], figures["student"]
    size = "x".join(map(str, before["frame"]))
    rows: list[Row] = [("", before["representation"], after["representation"])]
    if "psnr_lost" in figures:
        first, second = figures["teacher_against_photographs"], figures["student_against_photographs"]
        count = f"{first['views']} held-out photographs"
        rows.append((f"PSNR against {count}, dB", f"{first['psnr']:.2f}", f"{second['psnr']:.2f}"))
        rows.append((f"SSIM against {count}", f"{first['ssim']:.4f}", f"{second['ssim']:.4f}"))
    each = figures["student_against_teacher"]
    rows.append((f"PSNR against the teacher, {each['views']} views, dB", "", f"{each['psnr']:.2f}"))
    rows.append(("SSIM against the teacher", "", f"{each['ssim']:.4f}"))
    if "depth" in each:
        rows.append(("median relative error of the depth", "", f"{100 * each['depth']:.2f} %"))
    rows.append(("bytes", _bytes(before["bytes"]), _bytes(after["bytes"])))
    rows.append(("learnt numbers", f"{before['parameters']:,}", f"{after['parameters']:,}"))
    times = before["milliseconds_per_frame"], after["milliseconds_per_frame"]
    rows.append((f"milliseconds a frame of {size}", f"{times[0]:.1f}", f"{times[1]:.1f}"))
    return rows


def page(figures: Mapping[str, Any], pictures: Sequence[tuple[str, Tensor, Tensor, Tensor]]) -> str:
    """The report as one HTML page; every text is escaped."""
    head, *body = summary(figures)
    title = f"{head[1]} to {head[2]}"
    stages = [(name, f"{seconds:.1f}") for name, seconds in figures["stages"].items()]
    chain = " → ".join([entry["from"] for entry in figures["history"]] + [figures["history"][-1]["to"]])
    parts = [
        f"<h1>{_text(title)}</h1><p>{_text(figures['scope'])}</p><p>History: {_text(chain)}</p>",
        _table([head, *body]),
        "<h2>Time</h2>",
        _table([("stage", "seconds"), *stages]),
        "<h2>Pictures</h2>",
    ]
    for name, first, second, difference in pictures:
        shown = ((head[1], first), (head[2], second), ("difference, four times as strong", difference))
        figures_of_row = "".join(f"<figure>{_image(image)}<figcaption>{_text(label)}</figcaption></figure>"
                                 for label, image in shown)  # fmt: skip
        parts.append(f'<h3>{_text(name)}</h3><div class="row">{figures_of_row}</div>')
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{_text(title)}</title>'
        f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return f"<table><tr>{head}</tr>{body}</table>"


def _image(picture: UInt8[Tensor, "H W 3"]) -> str:
    stream = io.BytesIO()
    Image.fromarray(picture.cpu().numpy()).save(stream, format="PNG")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}">'


def _text(value: object) -> str:
    return html.escape(str(value))


def _bytes(count: int) -> str:
    return f"{count / 2**20:.2f} MiB"
