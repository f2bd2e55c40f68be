"""`hayate demo`: the two-command promise. Compile, elaborate, build, and let a language model speak on the simulated chip."""

from pathlib import Path

from .generate import Request, generate

PROMPT = "def __init__(self, name):\n"
DIRECTORY = Path("build/demo")


def demo(model, tokens):
    """Generate `tokens` tokens on the RTL of the `demo` configuration; the result is in build/demo/result.json. Returns the exit code."""
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    request = Request(prompt=PROMPT, model=model, tokens=tokens, ignore_eos=True)
    code = generate(request, str(DIRECTORY / "result.json"))
    print(f"{DIRECTORY / 'result.json'}")
    return code
