"""Markdown that generated parts of the documents are made of."""


def table(head, rows):
    """A table; cells are shown as `str` writes them."""
    return "\n".join(
        [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *(f"| {' | '.join(map(str, row))} |" for row in rows)]
    )
