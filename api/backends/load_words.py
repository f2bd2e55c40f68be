"""A placed model as the words of one load, from OPEN to SEAL, in the order in which a host writes them."""

import numpy as np

from hayate.golden.conductor.ngram import BaseTable
from hayate.rtl.contract.isa import Space
from hayate.rtl.contract.load import LNP_SHIFT, Fact, Feature, fact, seal
from hayate.rtl.contract.regmap import LOAD_ALL_TILES, LoadSpace, load_address
from hayate.rtl.contract.topology import tile_at
from hayate.rtl.contract.words import MATRIX_WORDS


def governed(placement):
    """Matrices that the governor decides on, in the order of its table: [(index of the planes descriptor,
    `Descriptor`)].
    """
    planes = placement.tiles[0].planes
    return [(planes[d.name][0], d) for d in placement.image.descriptors if d.name in planes]


def facts(placement, base):
    """`Fact` -> value, of what the machine must know of a model. base: the base table is loaded."""
    image, regions = placement.image, placement.regions
    features = {
        Feature.PLANES: governed(placement),
        Feature.DRAFT: image.draft,
        Feature.BASE: base,
        Feature.FILTERS: placement.filters,
    }
    return {
        Fact.VOCABULARY: image.model["vocab"],
        Fact.TILES: len(placement.tiles),
        Fact.CONTEXT: placement.context,
        Fact.MATRICES: len(governed(placement)) if placement.config.governor else 0,
        Fact.FEATURES: sum(feature for feature, there in features.items() if there),
        Fact.SAMPLING: regions["INVT"] | regions["LNP"] << LNP_SHIFT,
    }


def load_words(placement, *, banks=True, base=True):
    """Words of the load window, uint64 [n, 2]: address, data.

    Parameters
    ----------
    placement: of all tiles of its configuration.
    banks: with what lies in the banks; without it that comes from files, which only a simulation reads.
    base: with the base table, where the image has one.
    """
    base = base and len(placement.image.ngrams) > 0
    rows = [fact(Fact.OPEN), *(fact(which, value) for which, value in facts(placement, base).items())]
    rows += [
        (load_address(tile_at(r.stop), r.space, r.addr), r.data)
        for r in placement.loads()
        if banks or r.space != Space.BANK
    ]
    if placement.config.governor:
        for i, (index, d) in enumerate(governed(placement)):
            err, half = d.sensitivities
            low, high = MATRIX_WORDS
            for part, word in enumerate(
                (low.pack(planes=index, fp16=bool(d.tensor)), high.pack(sens_err=err, sens_int8_err=half))
            ):
                rows.append((load_address(LOAD_ALL_TILES, LoadSpace.GOVERNOR, len(MATRIX_WORDS) * i + part), word))
    if base:
        rows += [(load_address(0, LoadSpace.NGRAM, at), word) for at, word in BaseTable(placement.image.ngrams).words()]
    words = np.array(rows, dtype=np.uint64)
    return np.concatenate([words, np.array([fact(Fact.SEAL, seal(words[1:]))], dtype=np.uint64)])
