"""Which fields have been seen at the top of their range, so that a test can prove that it went there."""

from collections.abc import Mapping


class Tops:
    """Notes for each field of some layouts whether its top bit has been 1."""

    def __init__(self):
        self._seen: dict[str, bool] = {}

    def see(self, name: str, layout: Mapping, values: Mapping):
        """Note `values` (field -> integer, of two's complement where negative; missing ones are 0) of layout `name`.

        layout: field -> width, or field -> (offset, width).
        """
        for field, width in layout.items():
            width = width if isinstance(width, int) else width[1]
            top = int(values.get(field, 0)) >> width - 1 & 1
            self._seen[f"{name}.{field}"] = self._seen.get(f"{name}.{field}", False) or bool(top)

    def never(self) -> set[str]:
        """ "name.field" of all whose top bit was 0 each time."""
        return {field for field, seen in self._seen.items() if not seen}
