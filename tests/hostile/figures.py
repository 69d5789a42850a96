"""A pytest plugin: prints the figures of all cases as a table. `pytest -p tests.hostile.figures tests/hostile`"""

import pytest

from tests.hostile.harness import Figures

_COLUMNS = "case", "took s", "growth MB", "dead s", "answer s", "sent", "most/s", "descriptors"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    rows = [
        (name, *values)
        for report in terminalreporter.getreports("passed")
        for name, values in report.user_properties
        if isinstance(values, list)
    ]
    terminalreporter.section("figures")
    widths = [max(len(row[i]) for row in [_COLUMNS, *rows]) for i in range(len(_COLUMNS))]
    for row in [_COLUMNS, *sorted(rows)]:
        first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("  ".join([row[0].ljust(len(first)), *others]))


def row(figures: Figures) -> list[str]:
    """Return the figures as text; a figure that could not be measured is `-`."""
    before, after = figures.descriptors_before, figures.descriptors_after
    return [
        f"{figures.took:.1f}",
        "-" if figures.growth is None else f"{figures.growth:.1f}",
        f"{figures.dead_after:.2f}",
        f"{figures.longest_answer:.2f}",
        str(figures.notifications),
        str(figures.most_a_second),
        "-" if after is None else f"{before} {after}",
    ]
