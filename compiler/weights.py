"""Which file of a model folder holds which tensor, where more than one could, and the names that tensors go by."""

import os
import warnings
from pathlib import Path

from hayate.rtl.contract.errors import HayateError, HayateWarning
from hayate.rtl.contract.jsonfile import read_json
from hayate.rtl.contract.tensorfile import TensorFile

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
REMEDY = "fetch the whole model folder"
UNREAD = "rotary_emb.inv_freq"  # older checkpoints have it; it follows from rope_theta


def names(layers):
    """Names of the tensors of a Llama of so many layers; `HEAD` among them, which not every one has."""
    inner = (
        *(f"self_attn.{p}_proj" for p in "qkvo"),
        *(f"mlp.{p}_proj" for p in ("gate", "up", "down")),
        "input_layernorm",
        "post_attention_layernorm",
    )
    found = {f"model.layers.{i}.{name}.weight" for i in range(layers) for name in inner}
    return {EMBEDDING, "model.norm.weight", HEAD} | found


class Weights:
    """The tensors of a model folder.

    Files are chosen as the transformers library chooses them: `WHOLE`, or else the files that `INDEX` names. Where
    there is neither, all *.safetensors files are read together. A tensor may lack the prefix "model.", as in what a
    base model saved; and where the embedding is the output matrix too (`tied`), either of their names will do. What has
    two meanings
    is never settled in silence: where the rule above settles it a HayateWarning says so, where there is none it is
    refused.

    Parameters
    ----------
    folder: of the model. layers, tied: as `Shape` has them.

    Members: ``paths``, the files that are read. ``find(name)`` gives (`TensorFile`, name in it).

    Raises HayateError naming the file and the tensor: files missing or damaged, an index that leads out of the folder,
    one tensor with two values, a head that differs from the embedding it is tied to, biases, adapters. `find` does for
    a tensor that is not there.
    """

    def __init__(self, folder, layers, tied):
        self._folder, self._tied, self._wanted = Path(folder), tied, names(layers)
        for name in ADAPTER:
            if (self._folder / name).exists():
                raise HayateError(
                    self._folder / name,
                    "",
                    "an adapter of a model, which would be left out",
                    "merge it into the weights, or delete it to use the model without it",
                )
        self._index = {}  # name -> file in which an index looks for it
        files, rest = self._choose()
        self.paths = [f.path for f in files]
        self._found: dict[str, tuple[TensorFile, str]] = {}
        for file in files:
            self._add(file)
        if tied:
            self._tie()
        self._report(rest)

    def find(self, name):
        listed = self._index.get(name)
        if listed and self._stored(listed, name) is None:
            raise HayateError(self._folder / INDEX, name, f"is not in {listed.path.name}", REMEDY)
        if name in self._found:
            return self._found[name]
        remedy = "check that the folder holds the whole model"
        if not self._tied and (name == HEAD and EMBEDDING in self._found or name == EMBEDDING and HEAD in self._found):
            remedy += ", or set tie_word_embeddings to true in config.json where embedding and output matrix are one"
        raise HayateError(self._folder, name, "no such tensor in the weights", remedy)

    def _choose(self):
        """(files to read, paths of those beside them that are not)."""
        whole, index = self._folder / WHOLE, self._folder / INDEX
        beside = sorted(self._folder.glob("*.safetensors"))
        if os.path.lexists(whole):
            read = [whole]
        elif os.path.lexists(index):
            table = _table(index)
            opened = {name: _open(self._folder / name) for name in sorted(set(table.values()))}
            self._index = {self._name(tensor): opened[name] for tensor, name in table.items()}
            return list(opened.values()), [path for path in beside if path.name not in opened]
        elif beside:
            read = beside
        else:
            raise HayateError(self._folder, "", "no *.safetensors file in it", "give a folder with safetensors weights")
        return [_open(path) for path in read], [path for path in beside if path not in read]

    def _name(self, stored):
        """What this model calls a tensor that a file calls `stored`."""
        full = f"model.{stored}"
        return full if stored not in self._wanted and full in self._wanted else stored

    def _stored(self, file, name):
        """What `file` calls tensor `name`, None where it has none."""
        return next((n for n in (name, name.removeprefix("model.")) if n in file and self._name(n) == name), None)

    def _add(self, file):
        for stored in file.names:
            name = self._name(stored)
            if name.endswith("_proj.bias"):
                raise HayateError(
                    file.path, stored, "biases are not supported", "use a model without attention and MLP biases"
                )
            other, twin = self._found.setdefault(name, (file, stored))
            if name in self._wanted and not _equal(other, twin, file, stored):
                where = f"{twin} in the same file" if other is file else f"{twin} in {other.path}"
                raise HayateError(
                    file.path, stored, f"has other values than {where}", "delete the one that is not the model's"
                )

    def _tie(self):
        if EMBEDDING in self._found and HEAD in self._found:
            (file, name), (other, twin) = self._found[HEAD], self._found[EMBEDDING]
            if not _equal(file, name, other, twin):
                raise HayateError(
                    file.path,
                    name,
                    f"differs from {twin}, and config.json has tie_word_embeddings true",
                    f"set that to false to use {name} as output matrix, or delete {name} to use {twin}",
                )
        for one, same in ((EMBEDDING, HEAD), (HEAD, EMBEDDING)):
            if same in self._found:
                self._found.setdefault(one, self._found[same])

    def _report(self, beside):
        """Warn of files that are not read and say something else, and of tensors read for which there is no use."""
        read = self.paths[0] if len(self.paths) == 1 else self._folder / INDEX
        other = [path.name for path in beside if not self._agrees(path)]
        index = self._folder / INDEX
        if read.name == WHOLE and index.exists():
            try:
                listed = set(_table(index).values()) - {WHOLE}
            except HayateError:
                listed = {INDEX}
            if any(name in other or not (self._folder / name).exists() for name in listed) or INDEX in listed:
                other = [INDEX, *(name for name in other if name not in listed)]
        if other:
            more = f" and {len(other) - 1} more" if len(other) > 1 else ""
            _warn(
                f"{read}: is read, as the transformers library does, and {other[0]}{more} beside it, which differs, "
                "is not; delete what is not the model"
            )
        unused = sorted(n for n in self._found if n not in self._wanted and not n.endswith(UNREAD))
        if unused:
            file, stored = self._found[unused[0]]
            more = f" and {len(unused) - 1} more tensors are" if len(unused) > 1 else " is"
            _warn(
                f"{file.path}: {stored}{more} not read: config.json describes a model that has no use for it; "
                "check that both are of the same model"
            )

    def _agrees(self, path):
        """Whether a file that is not read says nothing about the model's tensors but what is read."""
        try:
            file = TensorFile(path)
        except HayateError:
            return False
        known = [(self._name(stored), stored) for stored in file.names if self._name(stored) in self._wanted]
        return all(name in self._found and _equal(*self._found[name], file, stored) for name, stored in known)


def _warn(text):
    warnings.warn(HayateWarning(text), stacklevel=2)


def _open(path):
    return TensorFile(path, what="weights file", remedy=REMEDY)


def _table(index):
    """Tensor -> file name, of an index. Raises HayateError, for a name that is not one of a file beside it too."""
    value = read_json(index, "fetch it again")
    table = value.get("weight_map") if isinstance(value, dict) else None
    if not isinstance(table, dict) or not table:
        raise HayateError(index, "weight_map", "is missing or empty", REMEDY)
    for tensor, name in table.items():
        plain = isinstance(name, str) and name.isprintable() and name == Path(name).name
        if not plain or not name.endswith(".safetensors"):
            raise HayateError(index, tensor, f"{str(name)[:80]!r} is not the name of a file in the folder", REMEDY)
    return table


def _equal(file, name, other, twin):
    """Whether two tensors are the same: bit for bit, or value for value where their types differ."""
    if (file, name) == (other, twin):
        return True
    if file.shape(name) != other.shape(twin):
        return False
    try:
        one, two = file.tensor(name), other.tensor(twin)
    except HayateError:  # of a type that cannot be read
        return False
    return one.tobytes() == two.tobytes() if file.dtype(name) == other.dtype(twin) else bool((one == two).all())
