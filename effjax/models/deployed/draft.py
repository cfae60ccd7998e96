"""A graph that is still being rewritten."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from effjax.models.deployed.graph import Node
from effjax.models.deployed.operations import Operation


class Draft:
    """Nodes by the number of the value that each makes; a node reads values of lower numbers alone.

    Args:
      nodes: as they were traced.
      returned: the numbers of the values that the network returns, which must stay what they are.

    Attributes:
      nodes: by number, in any order.
      returned: see above.
    """

    def __init__(self, nodes: Iterable[Node], returned: frozenset[int]):
        self.nodes = {node.output: node for node in nodes}
        self.returned = returned
        self._uses = Counter(value for node in self.nodes.values() for value in node.inputs)

    def is_between(self, number: int) -> bool:
        """Whether a value is read once and goes nowhere else."""
        return number not in self.returned and self._uses[number] == 1

    def before(self, node: Node, *kinds: type[Operation], alone: bool = True) -> Node | None:
        """The maker of a node's one input, if it is of one of some kinds.

        Args:
          node: that reads.
          *kinds: of operations.
          alone: whether it must be read by nothing else.
        """
        if len(node.inputs) != 1 or (alone and not self.is_between(node.inputs[0])):
            return None
        found = self.nodes.get(node.inputs[0])
        return found if found is not None and isinstance(found.operation, kinds) else None

    def put(self, new: Node, instead_of: Sequence[Node] = ()) -> None:
        """Puts a node in the place of that which made its value, and of others, whose values nothing reads any more."""
        for old in (*instead_of, *([self.nodes[new.output]] if new.output in self.nodes else ())):
            if self.nodes.pop(old.output, None) is not None:
                self._uses.subtract(old.inputs)
        self.nodes[new.output] = new
        self._uses.update(new.inputs)

    def bypass(self, node: Node) -> None:
        """Leaves out a node that passes its one input on."""
        (source,) = node.inputs
        del self.nodes[node.output]
        self._uses.subtract(node.inputs)
        for one in [one for one in self.nodes.values() if node.output in one.inputs]:
            self.put(dataclasses.replace(one, inputs=tuple(source if i == node.output else i for i in one.inputs)))

    def sweep(self) -> bool:
        """Leaves out what nothing reads; returns whether there was anything."""
        unread = [
            node for node in self.nodes.values() if not self._uses[node.output] and node.output not in self.returned
        ]
        for node in unread:
            del self.nodes[node.output]
            self._uses.subtract(node.inputs)
        return bool(unread)
