"""From what a user names a model by to an `Image`, and between text and token ids."""

from pathlib import Path

from hayate.rtl.contract.errors import HayateError, nearest
from hayate.rtl.contract.image import Image

SHIPPED = Path(__file__).resolve().parent.parent / "models"


def shipped():
    """Names of the models in the checkout's models/ folder; empty where the package is installed without a checkout."""
    return sorted(p.parent.name for p in SHIPPED.glob("*/config.json"))


def find(model, option="--model"):
    """Path of a model directory or image file; a bare name may be one of the shipped models. Raises HayateError that names `option`."""
    try:
        for path in (Path(model), SHIPPED / model) if model else ():
            if path.exists():
                return path
    except (OSError, ValueError):  # no file can have such a name
        pass
    names = ", ".join(shipped())
    near = nearest(str(model).rpartition("/")[2], shipped(), cutoff=0.6)
    raise HayateError(option, "", f"no model at {model!r}", (f"did you mean {near}? Else " if near else "")
                      + "give a Hugging Face directory or a compiled image" + (f", or one of the shipped: {names}" if names else ""))


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


class Text:
    """The image's tokenizer; built when first used, so that token ids alone need none."""

    def __init__(self, image):
        self._image, self._tokenizer = image, None

    def _load(self):
        if self._tokenizer is None:
            text = self._image.tokenizer_json
            if text is None:
                raise HayateError("tokenizer.json", "", "the model has no tokenizer", "give --prompt-ids, or add the file to the model")
            from tokenizers import Tokenizer

            try:
                self._tokenizer = Tokenizer.from_str(text)
            except Exception as e:  # the library raises bare Exception
                raise HayateError("tokenizer.json", "", f"not usable ({e})", "give --prompt-ids, or mend the file") from None
        return self._tokenizer

    def encode(self, text):
        """Token ids of `text`."""
        return self._load().encode(text).ids

    def decode(self, ids):
        """Text of token ids; "" where the image has no tokenizer."""
        return self._load().decode(list(ids)) if self._image.tokenizer_json is not None else ""
