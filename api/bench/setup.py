"""What the benches on the simulated chip begin with."""

from hayate import models
from hayate.output import require_outputs, toml
from hayate.progress import Steps, console
from hayate.rtl.contract.config import load_config
from hayate.rtl.contract.errors import HayateError

TOKENS = 8  # at least, so that there is something to draft from
TOKENS_MAX = (1 << 16) - 1  # what the register TOKEN_LIMIT holds


def require_tokens(tokens):
    """Raise HayateError unless so many tokens are enough to draft from, and what a machine can be asked for."""
    if not TOKENS <= tokens <= TOKENS_MAX:
        bound = f"at least {TOKENS}" if tokens < TOKENS else f"at most {TOKENS_MAX}"
        raise HayateError("--tokens", "", f"{tokens} is not {bound}", "leave the option out for its default")


def opened(model, config, overrides, json):
    """(image, `Config`, console for people, `Steps`) of a bench that writes its result to `json`. Raises
    HayateError.
    """
    require_outputs([("--json", json)], [models.find(model), toml(config)])
    sizes = load_config(config, overrides)
    people = console(json)
    say = Steps(people)
    with say(f"compiling {model}"):
        image = models.load(model)
    return image, sizes, people, say
