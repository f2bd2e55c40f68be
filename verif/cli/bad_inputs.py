"""Bad input and bad surroundings: what a user can give the program, and how it must end.

Every entry ends in its exit code, in one line of standard error that holds its texts, without a traceback, and leaves
the folder as it was. `test_bad_inputs.py` runs each as the tests' own user, and, where that is root, as an ordinary
one.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A command and its end. `parts`: texts of the line. `how`: fields of the request, see `zygote._child`. `usage`:
    the option parser's own message, which is no single line. `ordinary`: only of an ordinary user, who must not do
    everything.
    """

    arguments: tuple
    parts: tuple = ()
    code: int = 2
    how: dict = field(default_factory=dict)
    usage: bool = False
    ordinary: bool = False


def fill(folder: Path, tiny: Path):
    """What the cases find in their folder. tiny: a model of 64 tokens, to copy."""
    (folder / "file").write_text("mine")
    (folder / "out.txt").write_text("mine")
    (folder / "folder").mkdir()
    for name, target in {
        "link.json": "file",
        "loop.json": "loop.json",
        "null.fst": "/dev/null",
        "full.json": "/dev/full",
        "lost.json": "lost/further/r.json",
        "into.json": "file/r.json",
        "soc.json": "soc.v",
    }.items():
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "pipe.fst")
    (folder / "protected.json").write_text("mine")
    (folder / "protected.json").chmod(0o444)
    (folder / "closed").mkdir(0o555)
    (folder / "secret").mkdir(0o700)
    (folder / "secret.toml").write_text("tiles = 2\n")
    (folder / "secret.toml").chmod(0)
    (folder / "built").mkdir()
    (folder / "built" / "build").write_text("mine")
    (folder / "half" / "build").mkdir(parents=True)
    (folder / "half" / "build" / "sim").write_text("mine")
    for name, text in {
        "binary": b"\x00\xff\xfe\x80" * 100,
        "empty": b"",
        "latin": b"# caf\xe9\ntiles = 2\n",
        "nested": b"a = " + b"[" * 3000,
        "deep": b"a." * 3000 + b"b = 1\n",
        "huge": b"tiles = " + b"9" * 5000 + b"\n",
        "hex": b"tiles = 0x" + b"f" * 5000 + b"\n",
        "list": b"tiles = [1]\n",
        "name": b"name = 7\n",
        "names": b"name = ['a']\n",
        "preset": b"preset = ['unit']\n",
        "nan": b"tiles = nan\n",
        "date": b"tiles = 2020-01-01\n",
        "table": b"[tiles]\na = 1\n",
        "formats": b"formats = ['auto']\n",
        "odd": b"'a\\nb' = 1\n",
        "true": b"sampling = true\n",
    }.items():
        (folder / f"{name}.toml").write_bytes(text)
    (folder / "folder.toml").mkdir()
    model = folder / "model"
    model.mkdir()
    for file in tiny.iterdir():
        (model / file.name).write_bytes(file.read_bytes())
    for path in (folder / os.fsdecode(b"caf\xe9"), folder / "new\nline"):
        path.mkdir()
    (folder / "text.txt").write_bytes(b"caf\xe9 " * 100)
    for path in folder.rglob("*"):
        if os.geteuid() == 0 and path.name not in ("secret", "secret.toml", "closed", "protected.json"):
            os.chown(path, 65534, 65534, follow_symlinks=False)


def contents(folder: Path):
    """What lies in `folder`: path -> kind, permissions, and bytes of a file or target of a link."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        what = os.readlink(path) if stat.S_ISLNK(mode) else path.read_bytes() if stat.S_ISREG(mode) else None
        found[str(path.relative_to(folder))] = stat.S_IFMT(mode), stat.S_IMODE(mode), what
    return found


EXPORT = ("export", "model", "--config", "unit")
GOLDEN = ("generate", "ab", "--model", "model", "--config", "unit", "--backend", "golden", "--tokens", "2")
RTL = ("generate", "ab", "--model", "model", "--config", "unit", "--tokens", "2")
LARGE = "9" * 30
DIGITS = "9" * 5000
LATIN = os.fsdecode(b"caf\xe9")


def golden(*more, parts=(), **how):
    return Case((*GOLDEN, *more), parts, how=how)


def rtl(*more, parts=(), **how):
    return Case((*RTL, *more), parts, how=how)


def show(*more, parts=(), **how):
    return Case(("config", "show", *more), parts, how=how)


def toml(name, *parts):
    return show(f"{name}.toml", parts=(name, *parts))


TEXT = {
    "prompt not UTF-8": Case(("generate", LATIN, "--model", "model", "--backend", "golden"), ("prompt", "not UTF-8")),
    "prompt not UTF-8, rtl": Case(("generate", LATIN, "--model", "model", "--config", "unit"), ("prompt", "not UTF-8")),
    "prompt empty": Case(("generate", "", "--model", "model"), ("prompt", "empty")),
    "model not UTF-8": Case(("generate", "ab", "--model", LATIN + "x"), ("--model", "no model at")),
    "model is an empty folder": Case(("generate", "ab", "--model", LATIN), ("config.json",)),
    "model with a line break": Case(("generate", "ab", "--model", "new\nline"), ("new\\nline", "config.json")),
    "model with escapes": Case(("generate", "ab", "--model", "\x1b[31mred"), ("--model", "no model at")),
    "draft not UTF-8": golden("--speculate", "draft", "--draft", LATIN + "x", parts=("--draft", "no model at")),
    "config not UTF-8": golden("--config", LATIN, parts=("--config", "unknown preset")),
    "toml not UTF-8": golden("--config", LATIN + ".toml", parts=("no such configuration file",)),
    "toml with a line break": show("a\nb.toml", parts=("a\\nb.toml", "no such configuration file")),
    "key not UTF-8": show("--set", LATIN + "=1", parts=("unknown key",)),
    "key with a line break": show("--set", "a\nb=1", parts=("unknown key",)),
    "value not UTF-8": show("--set", "tiles=" + LATIN, parts=("tiles", "is not an integer")),
    "json not UTF-8 nowhere": golden("--json", f"file/{LATIN}", parts=("not a folder", "--json")),
    "json with a line break nowhere": golden("--json", "file/a\nb", parts=("file/a\\nb", "not a folder")),
    "prefix not ASCII": Case(
        ("elaborate", "--config", "unit", "-o", "x.v", "--prefix", "größe"), ("--prefix", "Verilog identifier")
    ),
    "backend not UTF-8": golden("--backend", LATIN, parts=("--backend", "not known")),
    "pin not UTF-8": golden("--precision", "int8", "--pin", LATIN, parts=("--pin", "MATRIX=FORMAT")),
    "text not UTF-8": Case(
        ("ngrams", "model", "--text", "text.txt", "-o", "n.json"), ("text.txt", "not a readable text")
    ),
    "text is a folder": Case(
        ("calibrate", "model", "--text", "folder", "-o", "c.json"), ("folder", "not a readable text")
    ),
    "ASCII, model": Case(("generate", "ab", "--model", "größe"), ("--model", "no model at"), how={"encoding": "ascii"}),
}

OUTPUTS = {
    "json is a folder": golden("--json", "folder", parts=("folder", "is a folder", "--json")),
    "json in a circle": golden("--json", "loop.json", parts=("loop.json", "--json")),
    "json behind a link, under a file": golden("--json", "into.json", parts=("into.json", "not a folder", "--json")),
    "json too long": golden("--json", "x" * 300, parts=("cannot be written", "--json")),
    "json without a name": golden("--json", "/", parts=("/: is a folder",)),
    "waves into a device": rtl("--waves", "null.fst", parts=("null.fst", "device", "--waves")),
    "waves into a pipe": rtl("--waves", "pipe.fst", parts=("pipe.fst", "pipe", "--waves")),
    "waves and json": rtl("--waves", "w.vcd", "--json", "w.vcd", parts=("--json", "'w.vcd'", "--waves")),
    "waves and json, spelled otherwise": rtl(
        "--waves", "w.vcd", "--json", "folder/../w.vcd", parts=("--json", "--waves")
    ),
    "json over the model": golden("--json", "model/config.json", parts=("--json", "is an input")),
    "json over the configuration": golden("--config", "true.toml", "--json", "true.toml", parts=("sampling",)),
    "json over the toml": show("odd.toml", "--json", "odd.toml", parts=("a\\nb",)),
    "image over the weights": Case(
        ("compile", "model", "-o", "model/model.safetensors", "--config", "unit"), ("-o", "is an input")
    ),
    "image over the tokenizer": Case(
        ("compile", "model", "-o", "./model/tokenizer.json", "--config", "unit"), ("-o", "is an input")
    ),
    "image and json": Case(("compile", "model", "-o", "m", "--json", "m", "--config", "unit"), ("--json", "'m'", "-o")),
    "image to standard output": Case(("compile", "model", "-o", "-", "--config", "unit"), ("-o", "only --json")),
    "image into a folder": Case(("compile", "model", "-o", "folder", "--config", "unit"), ("folder", "is a folder")),
    "image into nothing": Case(("compile", "model", "-o", "", "--config", "unit"), ("is a folder",)),
    "calibration over the weights": Case(
        ("calibrate", "model", "-o", "model/model.safetensors"), ("-o", "is an input")
    ),
    "n-grams over the text": Case(("ngrams", "model", "--text", "text.txt", "-o", "text.txt"), ("-o", "is an input")),
    "n-grams over the calibration": Case(("ngrams", "model", "-o", "model/config.json"), ("-o", "is an input")),
    "Verilog over its description": Case(("elaborate", "--config", "unit", "-o", "soc.v"), ("-o", "soc.json")),
    "elaborate to standard output": Case(("elaborate", "--config", "unit", "-o", "-"), ("-o", "'-'", ".v")),
    "bench over the model": Case(
        ("bench", "verify", "--model", "model", "--json", "model/config.json"), ("--json", "is an input")
    ),
    "quality over the model": Case(
        ("bench", "quality", "--model", "model", "--json", "model/config.json"), ("--json", "is an input")
    ),
    "builds under a file": Case(
        ("generate", "ab", "--model", "../model", "--config", "unit"),
        ("built/build", "cannot be written"),
        how={"folder": "built"},
    ),
    "builds are a file": Case(
        ("generate", "ab", "--model", "../model", "--config", "unit"),
        ("build/sim", "cannot be written"),
        how={"folder": "half"},
    ),
    "builds may not be": Case(
        ("generate", "ab", "--model", "../model", "--config", "unit"),
        ("closed/build", "Permission denied"),
        how={"folder": "closed"},
        ordinary=True,
    ),
    "bench: builds may not be": Case(
        ("bench", "layer", "--shape", "tiny", "--context", "64"),
        ("closed/build", "Permission denied"),
        how={"folder": "closed"},
        ordinary=True,
    ),
    "json in a protected folder": Case(
        (*GOLDEN, "--json", "closed/r.json"), ("closed/r.json", "Permission denied"), ordinary=True
    ),
    "json below a protected folder": Case(
        (*GOLDEN, "--json", "closed/a/b/r.json"), ("Permission denied",), ordinary=True
    ),
    "json in a secret folder": Case((*GOLDEN, "--json", "secret/r.json"), ("Permission denied",), ordinary=True),
    "json over a protected file": Case(
        (*GOLDEN, "--json", "protected.json"), ("protected.json", "Permission denied"), ordinary=True
    ),
    "load file over the weights": Case((*EXPORT, "-o", "model/model.safetensors"), ("-o", "is an input")),
    "load file to standard output": Case((*EXPORT, "-o", "-"), ("-o", "only --json")),
    "load file into a folder": Case((*EXPORT, "-o", "folder"), ("folder", "is a folder", "-o")),
    "load file in a protected folder": Case(
        (*EXPORT, "-o", "closed/m"), ("closed/m", "Permission denied"), ordinary=True
    ),
    "image over a protected file": Case(
        ("compile", "model", "-o", "protected.json"), ("Permission denied", "-o"), ordinary=True
    ),
    "secret toml": Case(("config", "show", "secret.toml"), ("secret.toml", "Permission denied"), ordinary=True),
    "secret model": Case((*GOLDEN, "--model", "secret"), ("secret",), ordinary=True),
}

STREAMS = {
    "output full": show(parts=("standard output", "No space left"), stdout="/dev/full"),
    "output full, golden": golden(parts=("standard output", "No space left"), stdout="/dev/full"),
    "json to a full output": show("--json", "-", parts=("standard output", "No space left"), stdout="/dev/full"),
    "help to a full output": Case(
        ("generate", "--help"), ("standard output", "No space left"), how={"stdout": "/dev/full"}
    ),
    "json into a full device": golden("--json", "full.json", parts=("full.json", "No space left", "--json")),
    "json to a closed output": golden("--json", "-", parts=("--json", "standard output is closed"), stdout="closed"),
    "output closed and bad": golden("--backend", "x", parts=("--backend",), stdout="closed"),
    "all closed but errors": golden("--backend", "x", parts=("--backend",), stdout="closed", stdin="closed"),
    "errors closed": Case(GOLDEN[:-2] + ("--backend", "x"), how={"stderr": "closed"}),
    "errors full": Case(GOLDEN[:-2] + ("--backend", "x"), how={"stderr": "/dev/full"}),
    "errors gone": Case(GOLDEN[:-2] + ("--backend", "x"), how={"stderr": "gone"}),
    "output gone": Case(("config", "show"), code=1, how={"stdout": "gone"}),
    "output gone, golden": Case(GOLDEN, code=1, how={"stdout": "gone"}),
    "json beside output": show("--json", "out.txt", parts=("out.txt", "standard output"), stdout="out.txt"),
    "json too large for the disk": golden("--json", "r.json", parts=("r.json", "File too large"), file_size=512),
    "image too large for the disk": Case(
        ("compile", "model", "-o", "a/b/m.hayate", "--config", "unit"),
        ("File too large",),
        how={"file_size": 4096, "stdout": "null"},
    ),
    "load file too large for the disk": Case(
        (*EXPORT, "-o", "a/b/m.hyld"), ("m.hyld", "File too large", "-o"), how={"file_size": 4096, "stdout": "null"}
    ),
    "load file into a full device": Case(
        (*EXPORT, "-o", "full.json"), ("full.json", "No space left", "-o"), how={"stdout": "null"}
    ),
    "no folder for what is temporary": Case(
        ("compile", "model", "-o", "/proc/x", "--config", "unit"), ("/proc/x", "cannot be written")
    ),
}

NUMBERS = {
    **{f"tokens {n}": golden("--tokens", n, parts=("--tokens",)) for n in ("0", "-1", LARGE, "65536")},
    **{
        f"tokens {n[:9]}": Case((*GOLDEN, "--tokens", n), ("--tokens",), usage=True)
        for n in (DIGITS, "1e3", "nan", "", "0x10", "½")
    },
    **{
        f"temperature {t}": golden("--temperature", t, parts=("--temperature",))
        for t in ("nan", "inf", "-inf", "-1", "1e400", "1e-300")
    },
    **{f"quality {q}": golden("--quality", q, parts=("quality",)) for q in ("nan", "inf", "-1", "2", "1e400", "0")},
    **{
        f"min-p {p}": golden("--temperature", "1", "--min-p", p, parts=("--min-p",))
        for p in ("nan", "inf", "-inf", "-1")
    },
    **{f"top-k {k}": golden("--temperature", "1", "--top-k", k, parts=("--top-k",)) for k in ("-1", LARGE)},
    **{f"seed {s}": golden("--seed", s, parts=("--seed",)) for s in ("-1", LARGE)},
    **{
        f"ids {i[:9]!r}": Case((GOLDEN[0], "--prompt-ids", i, *GOLDEN[2:]), (part,))
        for i, part in (
            (LARGE, "vocabulary"),
            ("-" + LARGE, "vocabulary"),
            *((text, "not a list") for text in (DIGITS, ",", "1,,2", "1.5", "1e3", " ")),
        )
    },
    **{
        f"window {w[:9]}": rtl("--waves", "w.vcd", "--wave-window", w, parts=("--wave-window",))
        for w in ("1:" + LARGE, f"-{LARGE}:1", "1:" + DIGITS, ":", "1:2:3", "nan:inf")
    },
    **{
        f"set {s[:15]}": show("--set", s, parts=(s.partition("=")[0],))
        for s in (
            "tiles=" + LARGE,
            "tiles=-1",
            "tiles=0",
            "tiles=nan",
            "tiles=1e3",
            "tiles=" + DIGITS,
            "tiles=0x" + "f" * 5000,
            "tiles=",
            "prompt_depth=" + LARGE,
            "landing_depth=" + str(1 << 70),
            "act_depth=-8",
            "bank_depth=" + LARGE,
            "max_slots=" + LARGE,
            "name=a\nb",
            "name=",
            "formats=",
            "sampling=-1",
            "chiplets=2",
        )
    },
    "set nothing": show("--set", "", parts=("--set", "no value")),
    "set no key": show("--set", "=4", parts=("unknown key",)),
    **{
        f"fp16 {n[:9]}": Case(("compile", "model", "-o", "m", "--config", "unit", "--fp16", n), ("fp16",))
        for n in ("-5", DIGITS, "some", "²", "")
    },
    "group": Case(("compile", "model", "-o", "m", "--config", "unit", "--group", LARGE), ("group",)),
    "export quality": Case((*EXPORT, "-o", "m", "--quality", "nan"), ("quality",)),
    "export precision": Case((*EXPORT, "-o", "m", "--precision", "int2"), ("--precision", "int2")),
    "export precision not built": Case(
        (*EXPORT, "-o", "m", "--set", "formats=fp16", "--precision", "int8"), ("formats",), how={"stdout": "null"}
    ),
    "export filters not built": Case(
        (*EXPORT, "-o", "m", "--set", "sampling=0", "--filters"), ("--filters", "sample"), how={"stdout": "null"}
    ),
    "export does not fit": Case(
        (*EXPORT, "-o", "m", "--set", "bank_depth=64"), ("bank_depth",), how={"stdout": "null"}
    ),
    "export drafter": Case((*EXPORT, "-o", "m", "--speculate", "oracle"), ("--speculate", "oracle")),
    "export draft": Case((*EXPORT, "-o", "m", "--draft", "model"), ("--draft", "no use")),
    "export without a draft model": Case(
        (*EXPORT, "-o", "m", "--speculate", "draft"), ("draft",), how={"stdout": "null"}
    ),
    "calibrate tokens": Case(("calibrate", "model", "-o", "c.json", "--tokens", "-" + LARGE), ("--tokens",)),
    "calibrate group": Case(("calibrate", "model", "-o", "c.json", "--group", "-32"), ("--group",)),
    "ngrams files": Case(("ngrams", "model", "-o", "n.json", "--files", "-1"), ("--files",)),
    "quality tokens": Case(("bench", "quality", "--model", "model", "--tokens", LARGE), ("--tokens",)),
    "quality jobs": Case(("bench", "quality", "--model", "model", "--jobs", "-1"), ("--jobs",)),
    "quality knobs": Case(("bench", "quality", "--model", "model", "--knobs", "nan"), ("quality",)),
    "quality no knobs": Case(("bench", "quality", "--model", "model", "--knobs", ""), ("--knobs",)),
    "precision k": Case(("bench", "precision", "--k", LARGE), ("--k",)),
    "precision rows": Case(("bench", "precision", "--rows", LARGE), ("--rows",)),
    "precision config": Case(("bench", "precision", "--config", "folder.toml"), ("folder.toml",)),
    "layer context": Case(("bench", "layer", "--context", "1" + "0" * 20), ("max_slots",)),
    "layer precision": Case(("bench", "layer", "--precision", ""), ("--precision",)),
    "speculation temperature": Case(("bench", "speculation", "--temperature", "nan"), ("--temperature",)),
    "speculation prompts": Case(("bench", "speculation", "--prompts", LARGE), ("--prompts",)),
    "speculation jobs": Case(("bench", "speculation", "--jobs", "0"), ("--jobs",)),
    "speculation drafter": Case(("bench", "speculation", "--drafter", ""), ("--drafter",)),
    "adversary tokens": Case(("bench", "adversary", "--model", "model", "--tokens", LARGE), ("--tokens",)),
    "verify tokens": Case(("bench", "verify", "--model", "model", "--tokens", LARGE), ("--tokens",)),
    "demo tokens": Case(("demo", "--model", "model", "--tokens", LARGE), ("--tokens",), how={"stdout": "null"}),
}

FILES = {
    **{
        f"toml: {name}": toml(name, part)
        for name, part in (
            ("folder", "not a readable TOML"),
            ("binary", "not a readable TOML"),
            ("latin", "not a readable TOML"),
            ("nested", "not a readable TOML"),
            ("huge", "not a readable TOML"),
            ("deep", "unknown key"),
            ("odd", "unknown key"),
            ("hex", "tiles"),
            ("list", "tiles"),
            ("nan", "tiles"),
            ("date", "tiles"),
            ("table", "tiles"),
            ("name", "name"),
            ("preset", "preset"),
            ("formats", "formats"),
            ("true", "sampling"),
        )
    },
    "toml: names": show("names.toml", parts=("configuration: name",)),
    "model is a file": golden("--model", "file", parts=("file", "not a Hayate image")),
    "model is a device": golden("--model", "/dev/null", parts=("/dev/null",)),
    "compile a file": Case(("compile", "file"), ("file", "not a model directory")),
    "export a file": Case(("export", "file"), ("file", "not a Hayate image")),
    "export nothing": Case(("export", "nowhere"), ("no model at",)),
    "calibrate a file": Case(("calibrate", "file"), ("file",)),
    "ngrams of a file": Case(("ngrams", "file"), ("file",)),
}

CASES = {**TEXT, **OUTPUTS, **STREAMS, **NUMBERS, **FILES}
