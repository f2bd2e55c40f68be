"""From what a user names a model by to an `Image`, and between text and token ids."""

from pathlib import Path

from hayate.rtl.contract.errors import HayateError, nearest
from hayate.rtl.contract.image import Image

HERE = Path(__file__).resolve().parent
SHIPPED = HERE / "shipped" if (HERE / "shipped").is_dir() else HERE.parent / "models"  # in a wheel; in the checkout


def shipped():
    """Names of the models that come with the package."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/config.json"))


def find(model, option="--model"):
    """Path of a model directory or image file; a bare name may be one of the shipped models. Raises HayateError that
    names `option`.
    """
    try:
        for path in (Path(model), SHIPPED / model) if model else ():
            if path.exists():
                return path
    except (OSError, ValueError):  # no file can have such a name
        pass
    names = ", ".join(shipped())
    near = nearest(str(model).rpartition("/")[2], shipped(), cutoff=0.6)
    raise HayateError(
        option,
        "",
        f"no model at {model!r}",
        (f"did you mean {near}? Else " if near else "")
        + "give a Hugging Face directory or a compiled image"
        + (f", or one of the shipped: {names}" if names else ""),
    )


def load(model, draft=""):
    """`Image` of a Hugging Face directory (compiled on the way) or of an image file. Raises HayateError.

    draft: the same for a model that drafts for it, in place of one that an image file may hold.
    """
    path = find(model)
    if path.is_dir():
        from hayate.compiler import compile_model

        image = compile_model(path)
    else:
        image = Image.load(path)
    return with_draft(image, draft)


def with_draft(image, draft):
    """`image` with the draft model that a user names; as it is where `draft` is "". Raises HayateError."""
    if not draft:
        return image
    from hayate.compiler import compile_model
    from hayate.compiler.link import pair

    path = find(draft, "--draft")
    # FP16 alone: so little weight is read in no time, and nothing chooses a format for it.
    return pair(image, compile_model(path, planes=False) if path.is_dir() else Image.load(path))


def tokenizer(text):
    """Tokenizer of the JSON text `text`, which encodes the whole of every text and no more.

    A file's wish to cut texts, or to fill them up, is not heeded; the transformers library does not heed it either,
    unless it is asked to. Raises HayateError for what is no tokenizer.
    """
    from tokenizers import Tokenizer

    try:
        found = Tokenizer.from_str(text)
    except Exception as e:  # the library raises bare Exception
        raise HayateError("tokenizer.json", "", f"not usable ({e})", "give --prompt-ids, or mend the file") from None
    found.no_truncation()
    found.no_padding()
    return found


class Text:
    """A model's tokenizer; built when first used, so that token ids alone need none.

    Parameters
    ----------
    image: `Image`. of: `Checkpoint` in place of it.
    """

    def __init__(self, image=None, *, of=None):
        if of is None:
            self._json, self._vocab, self._name = image.tokenizer_json, image.model["vocab"], "tokenizer.json"
        else:
            self._json, self._vocab, self._name = of.tokenizer, of.shape.vocab, of.path / "tokenizer.json"
        self._tokenizer = None

    def _load(self):
        if self._tokenizer is None:
            if self._json is None:
                raise HayateError(
                    "tokenizer.json",
                    "",
                    "the model has no tokenizer",
                    "give --prompt-ids, or add the file to the model",
                )
            self._tokenizer = tokenizer(self._json)
        return self._tokenizer

    def encode(self, text):
        """Token ids of `text`, all of it. Raises HayateError for a text with a token that the model does not have."""
        own = self._load()
        ids = own.encode(text).ids
        top = max(ids, default=0)
        if top >= self._vocab:
            raise HayateError(
                self._name,
                f"token {own.id_to_token(top)!r}",
                f"id {top} is outside the model's vocabulary of {self._vocab}",
                "use the model's own tokenizer.json, or leave this token out of the text",
            )
        return ids

    def decode(self, ids):
        """Text of token ids; "" where the image has no tokenizer."""
        return self._load().decode(list(ids)) if self._json is not None else ""
