"""The shipped prompts, on which the benchmarks of speculation run. `scripts/prompts.py` has drawn them from the
held-out text.
"""

import json

from hayate.corpus import read
from hayate.models import SHIPPED
from hayate.rtl.contract.errors import HayateError

PROMPTS = SHIPPED / "prompts" / "prompts.json"
COUNT = 32


def load(count=COUNT):
    """`count` of the shipped prompts, spread over all of them. Raises HayateError for more than there are, and without
    the file.
    """
    if not 1 <= count <= COUNT:
        raise HayateError("--prompts", "", f"{count} is not between 1 and {COUNT}", f"{COUNT} are shipped")
    prompts = json.loads(read(PROMPTS))["prompts"]
    return [prompts[i * COUNT // count] for i in range(count)]
