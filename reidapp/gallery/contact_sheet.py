"""The contact sheet of a case: one page of HTML with its pictures inside, for a browser to show and print.

Names and notes may be in any script: whoever opens the page has fonts for theirs, and a browser knows which way they
run. A picture drawn here would have boxes in place of the letters for which this machine has no font.
"""

import base64
from collections.abc import Iterable
from html import escape
from zoneinfo import ZoneInfo

from reidapp.gallery.cases import CaseHit, CaseInfo

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
body {{ margin: 24px; font: 14px/1.4 system-ui, sans-serif; color: #17202c; background: #fff; }}
h1 {{ margin: 0; font-size: 22px; }}
p {{ margin: 4px 0; color: #4b5768; }}
main {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 14px; margin-top: 18px; }}
figure {{ margin: 0; padding: 10px; border: 1px solid #d4dae2; border-radius: 8px; break-inside: avoid; }}
img {{ display: block; width: 100%; height: 250px; object-fit: contain; background: #f0f3f7; }}
figcaption {{ display: grid; gap: 2px; margin-top: 8px; overflow-wrap: anywhere; }}
figcaption span {{ color: #4b5768; font-size: 13px; font-variant-numeric: tabular-nums; }}
@media print {{ body {{ margin: 0; }} main {{ grid-template-columns: repeat(4, 1fr); }} img {{ height: 200px; }} }}
</style>
<h1 dir="auto">{title}</h1>
<p dir="auto">{note}</p>
<p>{facts}</p>
<main>
{figures}
</main>
</html>
"""
_FIGURE = """<figure><img src="{picture}" alt=""><figcaption><strong dir="auto">{number} · {camera}</strong>
<span>{time}</span><span>{worth}</span><span dir="auto">{note}</span></figcaption></figure>"""


def contact_sheet(case: CaseInfo, hits: Iterable[tuple[int, CaseHit, bytes]], facts: str) -> str:
    """
    Args:
        hits: the number, the hit and its best shot as JPEG.
        facts: about the export, a line.
    """
    figures = "\n".join(_figure(number, hit, jpeg) for number, hit, jpeg in hits)
    return _PAGE.format(title=escape(case.name), note=escape(case.note), facts=escape(facts), figures=figures)


def _figure(number: int, hit: CaseHit, jpeg: bytes) -> str:
    video = hit.info.video
    likely = "" if hit.p_match is None else f", P(match) {hit.p_match:.0%}"
    return _FIGURE.format(
        picture=f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}",
        number=number,
        camera=escape(hit.info.camera),
        time=escape(f"{hit.info.start.astimezone(ZoneInfo(video.zone)):%Y-%m-%d %H:%M:%S %Z}"),
        worth=escape(f"{hit.verdict or 'open'}{likely}"),
        note=escape(hit.note),
    )
