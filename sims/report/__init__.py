"""Result files explained: a page, a table, and what a change brought.

Only the files are needed, neither the link nor TensorFlow.
"""

from sims.report.comparison import Change, Matched, changes, match
from sims.report.sections import Known, Section, Series, sections
from sims.report.tables import TableRow, read_table, table_rows, write_table

__all__ = [
    "Change",
    "Known",
    "Matched",
    "Section",
    "Series",
    "TableRow",
    "changes",
    "match",
    "read_table",
    "sections",
    "table_rows",
    "write_table",
]
