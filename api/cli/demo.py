"""`hayate demo`: the two-command promise. Compile, elaborate, build, and let a language model speak on the simulated
chip.
"""

from pathlib import Path

from hayate.cli.generate import Request, generate
from hayate.progress import console

PROMPT = "def __init__(self, name):\n"
DIRECTORY = Path("build/demo")


def demo(model, tokens):
    """Generate `tokens` tokens on the RTL of the `demo` configuration, the governor choosing the precision of each
    matrix.

    The result is in build/demo/result.json. Returns the exit code.
    """
    people = console()
    people.print(f"Hayate: {model} on the simulated chip, configuration demo", style="bold", markup=False)
    result = DIRECTORY / "result.json"
    code = generate(Request(prompt=PROMPT, model=model, tokens=tokens, ignore_eos=True), str(result))
    people.print(str(result), markup=False)
    return code
