"""Golden token tree: what the nodes of a pass see, and which of them the text takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node of a pass: its token, its absolute position, and its parent, the index of a lower node (-1: a root)."""

    token: int
    position: int
    parent: int = -1


def ancestors(nodes):
    """For each node the bit mask of the nodes that it sees: itself, its parent, and so on up to the root.

    Raises ValueError when a node's parent is not a lower node, or not at the position before its own.
    """
    masks: list[int] = []
    for k, node in enumerate(nodes):
        if not -1 <= node.parent < k:
            raise ValueError(f"node {k} has parent {node.parent}, which is no lower node")
        if node.parent >= 0 and nodes[node.parent].position != node.position - 1:
            raise ValueError(f"node {k} at {node.position} has its parent at {nodes[node.parent].position}")
        masks.append(1 << k | (masks[node.parent] if node.parent >= 0 else 0))
    return masks


def siblings(nodes):
    """Bit mask of the nodes that are not their parent's first child."""
    return sum(
        1 << k for k, node in enumerate(nodes) if node.parent >= 0 and any(n.parent == node.parent for n in nodes[:k])
    )


def verify(nodes, choices, start, ends):
    """Walk from node `start` to the child whose token was chosen, again and again, and emit what each node on the way
    chose.

    Of several such children the lowest is taken. The walk is over when there is none, or when the text ends with the
    token just emitted.

    Parameters
    ----------
    nodes: of the pass. choices: the token chosen at each of them. start: node to start at: the root, or the last of a
        prompt pass.
    ends: callable(token, generated): whether the text ends with this token, the `generated`-th that this call emits (1:
        the first).

    Returns (path, tokens): the nodes walked, `start` first, and what they emitted, as many tokens as nodes.
    """
    path, tokens = [start], [choices[start]]
    while not ends(tokens[-1], len(tokens)):
        matching = [k for k, node in enumerate(nodes) if node.parent == path[-1] and node.token == tokens[-1]]
        if not matching:
            break
        path.append(matching[0])
        tokens.append(choices[matching[0]])
    return path, tokens
