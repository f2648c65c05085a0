"""Look for one person every night: index what is new, search, and hand the new hits on in a case.

    python examples/operator.py --footage footage/ --gallery gallery/ --image person.webp --case "red coat" --out a.zip

It calls nothing but `reidapp`, so every line can be typed as well. A hit that is in the case already is not put there
again; the archive is written only if there is a new one, and its name gets the day.
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--footage", required=True, help="folder of recordings")
    parser.add_argument("--gallery", required=True, help="folder of the gallery; made if it is not there")
    parser.add_argument("--image", required=True, help="picture of the person")
    parser.add_argument("--case", required=True, help="name of the case; opened if it is not there")
    parser.add_argument("--out", required=True, type=Path, help="archive of the case, .zip")
    parser.add_argument("--score", type=float, default=0.6, help="hits below this likeness are left out")
    said = parser.parse_args()
    of = ("--gallery", said.gallery)

    indexed = reidapp("index", said.footage, *of)
    print(f"{indexed['videos']} new recordings, {indexed['tracklets']} new tracklets")
    if said.case not in [case["name"] for case in reidapp("case", "list", *of)["cases"]]:
        reidapp("case", "new", said.case, *of)
    known = {hit["tracklet"] for hit in reidapp("case", "show", said.case, *of)["hits"]}
    found = reidapp("search", *of, "--image", said.image, "--top", "50", "--purpose", said.case)["hits"]
    new = [hit for hit in found if hit["score"] >= said.score and hit["tracklet"] not in known]
    for hit in new:
        print(f"{hit['start']}  {hit['camera']:<10}  {hit['score']:.2f}  {hit['video']}")
    if not new:
        print("nobody new who looks like that")
        return
    reidapp("case", "add", said.case, *(hit["tracklet"] for hit in new), *of)
    archive = said.out.with_stem(f"{said.out.stem}-{date.today()}")
    reidapp("case", "export", said.case, *of, "--out", archive)
    print(f"{archive}: clips and best shots, heads blurred. A hit is a likeness: look at the clips")


def reidapp(*words: object) -> dict[str, Any]:
    """What a command answers; if it fails, its one line says why, and this program ends as it did."""
    done = subprocess.run(["reidapp", *map(str, words), "--json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    main()
