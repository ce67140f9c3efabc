"""What predict.py draws of a scored test set: three figures and the page."""

from typing import Any

import numpy as np
from pyspark import RDD

from network.sequential import text_of
from pictures import figures, page
from results.answers import first_answers, largest_errors
from results.doubt import Doubt
from results.model_files import Trained

IMAGES_IN_A_FIGURE = 15
PAGE = page.PAGE


def draw(
    folder: str,
    test_rdd: RDD,
    trained: Trained,
    limits: Doubt,
    confusion: np.ndarray,
    data: str,
    settings: dict[str, Any] | None,
) -> str | None:
    """Draw the figures, and the page if `settings`, those of settings.json, are given.

    trained: with its history; limits: what makes an answer unsure; data: the name of the test set.
    Returns why there is no page, if so. Raises UserError if `folder` cannot be written.
    """
    names = trained.names()
    mistakes = largest_errors(test_rdd, trained, IMAGES_IN_A_FIGURE, only_mistakes=True)
    reason = page.why_not(trained)
    with_page = settings is not None and reason is None
    largest = largest_errors(test_rdd, trained, page.WORST) if with_page else []
    # The last job: `take` reads no partition to its end, and then Spark discards a Python worker.
    first = first_answers(test_rdd, trained, page.FIRST)
    title = figures.title_of(data, names, text_of(trained.network))
    figures.draw_scores(folder, confusion, first[:IMAGES_IN_A_FIGURE], mistakes, names, title)
    if settings is None:
        return None
    if reason is None:
        page.save(folder, trained, first, largest, data, page.rate_of(settings), limits)
    return reason
