"""The machine's configuration: one frozen, validated object shared by RTL, compiler, golden model and estimator."""

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hayate.rtl.contract.errors import HayateError, nearest
from hayate.rtl.contract.isa import ACT_BITS, BANK_BITS, INDEX_BITS, STAGE_BITS, VMEM_BITS

MAX_LANES = 8
MAX_TILES = 64
MAX_BANKS = 32
LEAST_LANDING = 32

#: What `formats` may be: each reads what the one before it reads, and more.
FORMATS = ("fp16", "nested", "auto")
_WORDS = ("name", "formats")  # fields that are no numbers
_SWITCHES = ("sampling",)  # fields that are 0 or 1


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes of one Hayate package.

    Parameters
    ----------
    name: label printed in reports.
    chiplets: dies in the package (1: chiplet links are not built yet).
    tiles: tiles in the package, numbered package-wide from 0.
    banks: memory banks, and so processing elements, of a tile; a power of two.
    bank_depth: 64-bit words of a bank.
    lanes: M, positions (or attention vectors) that one pass over the weights serves; a power of two.
    act_depth: 64-bit words of a lane's activation buffer.
    stage_depth: 64-bit words of a lane's stage buffer (fetched rows), a multiple of lanes.
    vmem_depth: FP32 words of a lane's vector memory.
    program_depth, micro_depth, desc_depth: entries of program, micro-operation and descriptor memory.
    landing_depth: finished rows that wait for the vector unit.
    max_slots: KV slots of a package (context + M, whole quads).
    prompt_depth: tokens of the conductor's prompt buffer and of its token FIFO.
    formats: of weights. "fp16" only; "nested": also INT8 and INT4 planes, at a precision that is fixed beforehand;
        "auto": and the governor that chooses it by the beginning of the prompt. What is not named is not built.
    sampling: 1: tokens may be sampled; 0: the noise that this takes is not built.

    Raises HayateError naming the field for a value outside its domain.
    """

    name: str = "custom"
    chiplets: int = 1
    tiles: int = 1
    banks: int = 2
    bank_depth: int = 2048
    bank_width: int = 64
    lanes: int = 2
    act_depth: int = 256
    stage_depth: int = 128
    vmem_depth: int = 512
    program_depth: int = 256
    micro_depth: int = 256
    desc_depth: int = 128
    landing_depth: int = LEAST_LANDING
    max_slots: int = 64
    prompt_depth: int = 256
    formats: str = "auto"
    sampling: int = 1

    def __post_init__(self):
        def require(field, ok, remedy):
            if not ok:
                value = getattr(self, field)
                huge = isinstance(value, int) and value.bit_length() > 200  # repr refuses the largest
                shown = f"{hex(value)[:20]}..." if huge else repr(value)
                raise HayateError(f"configuration {self.name}", field, f"{shown} is not allowed", remedy)

        if not isinstance(self.name, str) or not self.name.strip() or not self.name.isprintable():
            raise HayateError("configuration", "name", f"{self.name!r} is not allowed", "use a word or two")

        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name in _SWITCHES:
                require(
                    f.name, isinstance(value, int) and not isinstance(value, bool) and value in (0, 1), "use 0 or 1"
                )
            elif f.name not in _WORDS:
                require(
                    f.name,
                    isinstance(value, int) and not isinstance(value, bool) and value > 0,
                    "use a positive integer",
                )
        require("chiplets", self.chiplets == 1, "chiplet links are not built yet; use 1 and raise tiles")
        require("tiles", self.tiles <= MAX_TILES, f"use 1 to {MAX_TILES}")
        require(
            "banks",
            self.banks <= MAX_BANKS and not self.banks & (self.banks - 1),
            f"use a power of two up to {MAX_BANKS}",
        )
        require("bank_width", self.bank_width == 64, "only 64-bit words are built")
        require(
            "lanes",
            self.lanes <= MAX_LANES and not self.lanes & (self.lanes - 1),
            f"use a power of two up to {MAX_LANES}",
        )
        require("bank_depth", self.bank_depth <= 1 << BANK_BITS, f"use at most {1 << BANK_BITS} words")
        require(
            "act_depth",
            16 <= self.act_depth <= 1 << ACT_BITS and self.act_depth % 8 == 0,
            f"use a multiple of 8 from 16 to {1 << ACT_BITS} words",
        )
        require("vmem_depth", self.vmem_depth <= 1 << VMEM_BITS, f"use at most {1 << VMEM_BITS} words")
        require(
            "stage_depth",
            2 * self.lanes <= self.stage_depth <= 1 << STAGE_BITS and self.stage_depth % self.lanes == 0,
            f"use a multiple of lanes from {2 * self.lanes} to {1 << STAGE_BITS} words",
        )
        for depth in ("program_depth", "micro_depth", "desc_depth"):
            require(depth, getattr(self, depth) <= 1 << INDEX_BITS, f"use at most {1 << INDEX_BITS} entries")
        require(
            "landing_depth",
            LEAST_LANDING <= self.landing_depth <= 1 << 12 and not self.landing_depth & (self.landing_depth - 1),
            f"use a power of two from {LEAST_LANDING} (an iteration of 16 rows, twice) to 4096",
        )
        require("max_slots", self.max_slots % 4 == 0 and self.max_slots <= 1 << 14, "use a multiple of 4 up to 16384")
        require("prompt_depth", self.prompt_depth <= 1 << 14, "use at most 16384 tokens")
        require("formats", self.formats in FORMATS, f"use one of {', '.join(FORMATS)}")

    @property
    def bytes_total(self):
        """Bytes of all banks, check bits not counted."""
        return self.tiles * self.banks * self.bank_depth * 8

    @property
    def context(self):
        """Positions the KV cache can hold for sure: slots less the M in flight."""
        return self.max_slots - self.lanes

    @property
    def nested(self):
        """Whether weights may be read in INT8 and INT4."""
        return self.formats != "fp16"

    @property
    def governor(self):
        """Whether the machine can choose their format by itself."""
        return self.formats == "auto"

    @property
    def matrices(self):
        """Matrices that the governor's table holds: each takes two descriptors. 0 without a governor."""
        return max(1, self.desc_depth // 2) if self.governor else 0

    def to_dict(self):
        return dataclasses.asdict(self)


PRESETS = {
    # Smallest machine that exercises every path: two tiles, so the ring gathers; two banks; two lanes.
    "unit": Config(
        name="unit",
        tiles=2,
        banks=2,
        bank_depth=4096,
        lanes=2,
        act_depth=256,
        vmem_depth=512,
        max_slots=64,
        prompt_depth=64,
    ),
    # Deep enough for py-mini in FP16 and as integers and py-pico beside it, plus 256 positions of KV, on any two of its
    # tiles.
    "demo": Config(
        name="demo",
        tiles=4,
        banks=4,
        bank_depth=54272,
        lanes=4,
        act_depth=512,
        vmem_depth=1024,
        max_slots=260,
        prompt_depth=256,
    ),
}

FIELDS = [f.name for f in dataclasses.fields(Config)]


def load_config(source="demo", overrides=()):
    """Configuration from a preset name or a .toml file, with ``key=value`` overrides applied in order.

    Raises HayateError naming the preset, file or key, with the nearest valid name.
    """
    base = {}
    if str(source) in PRESETS:
        base = PRESETS[str(source)].to_dict()
    elif str(source).endswith(".toml"):
        path = Path(source)
        try:
            base = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HayateError(
                path, "", "no such configuration file", f"give a preset ({', '.join(PRESETS)}) or an existing .toml"
            ) from None
        except (ValueError, RecursionError, OSError) as e:
            raise HayateError(path, "", f"not a readable TOML file ({e})", "write lines like tiles = 4") from None
        base.setdefault("name", path.stem)
        preset = base.pop("preset", None)
        if preset is not None:
            if not isinstance(preset, str) or preset not in PRESETS:
                raise HayateError(
                    path, "preset", f"unknown preset {preset!r}", f"did you mean {nearest(preset, PRESETS)!r}?"
                )
            base = {**PRESETS[preset].to_dict(), **base}
    else:
        raise HayateError(
            "--config",
            "",
            f"unknown preset {str(source)!r}",
            f"did you mean {nearest(source, PRESETS)!r}? (presets: {', '.join(PRESETS)}, or a file ending in .toml)",
        )
    for item in overrides:
        key, eq, value = item.partition("=")
        if not eq:
            raise HayateError("--set", item, "no value", "write key=value, such as tiles=4")
        if key in FIELDS and key not in _WORDS:
            try:
                base[key] = int(value, 0)
            except ValueError:
                raise HayateError("--set", key, f"{value!r} is not an integer", f"write {key}=4") from None
        else:
            base[key] = value
    for key in base:
        if key not in FIELDS:
            raise HayateError(
                f"configuration {base.get('name', source)}",
                key,
                "unknown key",
                f"did you mean {nearest(key, FIELDS)!r}?",
            )
    return Config(**base)
