"""The peer: optbinning's binning process and a logistic regression on its weights of evidence.

Runs in an environment of its own, `python optbinning_card.py FOLDER`: the folder holds `rows.npz`
(a column each; `bad`; `place`, the fold of each row, a row a repeat) and `form.json`; `scores.npy`,
the chance of bad of each row by a model that did not see it, and `libraries.json` are written.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas
from optbinning import BinningProcess
from sklearn.linear_model import LogisticRegression


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    form = json.loads((folder / "form.json").read_text())
    with np.load(folder / "rows.npz") as rows:
        frame = pandas.DataFrame({name: rows[f"column_{name}"] for name in form["names"]})
        bad, place = rows["bad"], rows["place"]
    frame[form["categories"]] = frame[form["categories"]].replace("", None)
    scores = np.zeros(place.shape)
    for repeat, fold_of in enumerate(place):
        for fold in range(int(fold_of.max()) + 1):
            seen, held = fold_of != fold, fold_of == fold
            process = BinningProcess(
                form["names"],
                categorical_variables=form["categories"],
                selection_criteria={"iv": {"min": form["least_iv"]}} if form["least_iv"] else None,
            )
            process.fit(frame[seen], bad[seen])
            regression = LogisticRegression(C=1.0, max_iter=1000)
            regression.fit(process.transform(frame[seen], metric="woe"), bad[seen])
            woe = process.transform(frame[held], metric="woe")
            scores[repeat, held] = regression.predict_proba(woe)[:, 1]
            print(repeat, fold, flush=True)
    np.save(folder / "scores.npy", scores)
    libraries = {name: version(name) for name in ("optbinning", "ortools", "scikit-learn")}
    (folder / "libraries.json").write_text(json.dumps(libraries))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
