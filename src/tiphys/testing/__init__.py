"""For tests against Kubernetes: a cluster in one process, without root and without containers."""

from tiphys.apimachinery.collector import unseen

with unseen():
    from tiphys.testing.cluster import Cluster
    from tiphys.testing.nodes import NodeShape, SimulatedNodes
    from tiphys.testing.simulation import Simulation, simulate

__all__ = ["Cluster", "NodeShape", "SimulatedNodes", "Simulation", "simulate"]
