"""The results of a run or a plan, for people and for programs."""

from ved.results.collector import ResultCollector
from ved.results.merging import merge_results
from ved.results.result import BAD, Outcome, Result, Step, outcome_result, planned_result
from ved.results.rows import RESULTS_FILE_BYTES, Row, fit_rows, to_json
from ved.results.text import (
    LABELS,
    announce,
    count_actions,
    describe,
    format_lines,
    without_notices,
)

__all__ = [
    "BAD",
    "LABELS",
    "RESULTS_FILE_BYTES",
    "Outcome",
    "Result",
    "ResultCollector",
    "Row",
    "Step",
    "announce",
    "count_actions",
    "describe",
    "fit_rows",
    "format_lines",
    "merge_results",
    "outcome_result",
    "planned_result",
    "to_json",
    "without_notices",
]
