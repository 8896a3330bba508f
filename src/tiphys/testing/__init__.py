"""For tests against Kubernetes: a cluster in one process, without root and without containers."""

from tiphys.testing.cluster import Cluster
from tiphys.testing.nodes import NodeShape, SimulatedNodes

__all__ = ["Cluster", "NodeShape", "SimulatedNodes"]
