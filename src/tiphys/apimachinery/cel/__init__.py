"""The Common Expression Language as the API has it: typed, bounded in cost, and without side effects. Pure.

environment = Environment({"self": declare(schema)})
program = environment.compile("self.replicas <= 5", types.BOOL)
program.cost_estimate()
program.evaluate({"self": {"replicas": 3}}, Budget())
"""

from tiphys.apimachinery.cel import types
from tiphys.apimachinery.cel.declarations import Declaration, declare, escape, object_declaration
from tiphys.apimachinery.cel.environment import Environment, Program
from tiphys.apimachinery.cel.errors import (
    CompileError,
    CostExceeded,
    EvaluationError,
    InstantiationError,
    ResultTypeError,
)
from tiphys.apimachinery.cel.frame import Budget
from tiphys.apimachinery.cel.libraries import KUBERNETES, WITH_PATCHES
from tiphys.apimachinery.cel.patience import TakesLong, excuse, hurried, patience, spend
from tiphys.apimachinery.cel.to_json import to_json
from tiphys.apimachinery.cel.types import Type

__all__ = [
    "KUBERNETES",
    "WITH_PATCHES",
    "Budget",
    "CompileError",
    "CostExceeded",
    "Declaration",
    "Environment",
    "EvaluationError",
    "InstantiationError",
    "Program",
    "ResultTypeError",
    "TakesLong",
    "Type",
    "declare",
    "escape",
    "excuse",
    "hurried",
    "object_declaration",
    "patience",
    "spend",
    "to_json",
    "types",
]
