"""Components of which a design has many: elaborated once, and written as one module with many instances."""

import re

from amaranth.back import rtlil
from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib.wiring import In

_PORT = re.compile(r"^  wire (?:width \d+ )?input \d+ +\\(clk|rst)$", re.MULTILINE)


class Once:
    """The platform of an elaboration in which equal components are elaborated once.

    Parameters
    ----------
    name: what the names of their modules begin with.
    """

    def __init__(self, name):
        self.name = name
        self._modules = {}  # (class, parameters) -> (module's name, its RTLIL, which of clk and rst it has)

    @property
    def rtlil(self):
        """RTLIL of the modules."""
        return "".join(text for _, text, _ in self._modules.values())

    def instance(self, component, parameters):
        """The instance of `component`'s module whose pins are its ports."""
        kind = type(component)
        if (kind, parameters) not in self._modules:
            before = sum(other is kind for other, _ in self._modules)
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind.__name__.strip("_")).lower()
            name = f"{self.name}_{words}" + (f"_{before + 1}" if before else "")
            text = rtlil.convert(component, name=name, platform=self, emit_src=False)
            own = text[text.rindex(f"module \\{name}\n") :]
            self._modules[kind, parameters] = name, text, set(_PORT.findall(own[: own.index("\nend\n")]))
        component._MustUse__used = True  # by its ports; Amaranth warns of what nobody has elaborated
        name, _, domain = self._modules[kind, parameters]
        pins = {f"i_{pin}": signal for pin, signal in (("clk", ClockSignal()), ("rst", ResetSignal())) if pin in domain}
        for path, member, value in component.signature.flatten(component):
            pins[f"{'i' if member.flow == In else 'o'}_{'__'.join(map(str, path))}"] = Value.cast(value)
        return Instance(name, **pins)


def once(platform, component, *parameters):
    """`component` as the submodule to add: where `platform` is a `Once`, an instance of a module that is written once.

    A component whose state a `ResetInserter` is to reset cannot be one of these: instances are out of its reach.

    Parameters
    ----------
    platform: that of `elaborate`.
    parameters: all that the component was made with and that another one of its class could have otherwise.
    """
    return platform.instance(component, parameters) if isinstance(platform, Once) else component
