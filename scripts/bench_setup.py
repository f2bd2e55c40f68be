"""What the benches on the simulated chip begin with."""

from hayate.rtl.contract.config import load_config

from . import models
from .output import require_writable
from .progress import Steps, console


def opened(model, config, overrides, json):
    """(image, `Config`, console for people, `Steps`) of a bench that writes its result to `json`. Raises HayateError."""
    require_writable(json, "--json")
    sizes = load_config(config, overrides)
    people = console(json)
    say = Steps(people)
    with say(f"compiling {model}"):
        image = models.load(model)
    return image, sizes, people, say
