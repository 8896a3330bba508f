"""What a policy's status comes to: for built-in kinds, custom ones, parameters; once for each generation."""

import pytest

from tiphys.apimachinery.errors import Conflict, ServiceUnavailable
from tiphys.client.kinds import VALIDATING_ADMISSION_POLICIES
from tiphys.controllers.validatingadmissionpolicystatus.controller import (
    ValidatingAdmissionPolicyStatusController,
)

BOATS = "/apis/example.com/v1"


def put(world, *expressions, group="apps", plural="deployments", generation=1, **spec):
    rule = {"apiGroups": [group], "apiVersions": ["v1"], "resources": [plural], "operations": ["CREATE"]}
    return world.api.put(
        VALIDATING_ADMISSION_POLICIES,
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p", "generation": generation},
            "spec": {
                "matchConstraints": {"resourceRules": [rule]},
                "validations": [{"expression": one} for one in expressions],
                **spec,
            },
        },
    )


def serve_boats(world):
    world.api.discovery[BOATS] = {"resources": [
        {"name": "boats/status", "kind": "Boat"}, {"name": "boats", "kind": "Boat"}]}  # fmt: skip
    kind = {"group": "example.com", "version": "v1", "kind": "Boat"}
    fields = {"spec": {"type": "object", "properties": {"length": {"type": "integer"}}}}
    boat = {"type": "object", "x-kubernetes-group-version-kind": [kind],
            "properties": {"metadata": {"$ref": "#/components/schemas/meta"}, **fields}}  # fmt: skip
    world.api.discovery[f"/openapi/v3{BOATS}"] = {"components": {"schemas": {"other": {}, "boat": boat}}}


def status(world):
    return world.api.get(VALIDATING_ADMISSION_POLICIES, "p").get("status")


def warned(world):
    found = (status(world).get("typeChecking") or {}).get("expressionWarnings") or ()
    return [(one["fieldRef"], one["warning"].split("\n")[0]) for one in found]


def patches(world):
    return [path for method, path in world.api.writes() if method == "PATCH"]


async def test_a_field_that_the_kind_has_not(world):
    put(world, "object.spec.replicas > 1", "object.spec.replicsa > 1", "object.metadata.name == 'a'")
    async with world.running(ValidatingAdmissionPolicyStatusController):
        assert status(world)["observedGeneration"] == 1
        ((field, head),) = warned(world)
        assert field == "spec.validations[1].expression"
        assert "Deployment" in head


async def test_nothing_to_say_is_said_too(world):
    put(world, "object.spec.replicas > 1")
    async with world.running(ValidatingAdmissionPolicyStatusController):
        assert (status(world)["observedGeneration"], warned(world)) == (1, [])


async def test_once_for_each_generation(world):
    put(world, "object.spec.replicas > 1")
    async with world.running(ValidatingAdmissionPolicyStatusController):
        live = world.api.get(VALIDATING_ADMISSION_POLICIES, "p")
        world.api.put(
            VALIDATING_ADMISSION_POLICIES, {**live, "metadata": {**live["metadata"], "labels": {"a": "b"}}}
        )
        await world.settle()
        assert len(patches(world)) == 1
        spec = {**live["spec"], "validations": [{"expression": "object.spec.none"}]}
        meta = {**live["metadata"], "generation": 2}
        world.api.put(VALIDATING_ADMISSION_POLICIES, {**live, "metadata": meta, "spec": spec})
        await world.settle()
        assert status(world)["observedGeneration"] == 2
        assert len(warned(world)) == 1


async def test_a_custom_kind_is_read_from_what_the_server_publishes(world):
    serve_boats(world)
    put(world, "object.spec.length > 1", "object.spec.width > 1", group="example.com", plural="boats")
    async with world.running(ValidatingAdmissionPolicyStatusController):
        ((field, head),) = warned(world)
        assert field == "spec.validations[1].expression"
        assert "Boat" in head


@pytest.mark.parametrize("missing", ["resource", "schema", "both"])
async def test_what_is_not_known_is_not_judged(world, missing):
    serve_boats(world)
    if missing in ("resource", "both"):
        del world.api.discovery[BOATS]
    if missing in ("schema", "both"):
        del world.api.discovery[f"/openapi/v3{BOATS}"]
    put(world, "object.spec.width > 1", group="example.com", plural="boats")
    async with world.running(ValidatingAdmissionPolicyStatusController):
        assert (status(world)["observedGeneration"], warned(world)) == (1, [])


async def test_parameters_have_a_type_too(world):
    serve_boats(world)
    kind = {"apiVersion": "example.com/v1", "kind": "Boat"}
    put(world, "params.spec.length > 1", "params.spec.width > 1", paramKind=kind)
    async with world.running(ValidatingAdmissionPolicyStatusController):
        assert [field for field, _ in warned(world)] == ["spec.validations[1].expression"]


async def test_a_policy_that_changed_meanwhile_is_judged_as_it_is_then(world):
    put(world, "object.spec.none")
    lost = []

    def react(request):
        if request.method == "PATCH" and not lost:
            lost.append(request)
            put(world, "object.spec.replicas > 1", generation=2)
            return Conflict("changed meanwhile")
        return None

    world.api.reactors.append(react)
    async with world.running(ValidatingAdmissionPolicyStatusController):
        assert lost
        assert (status(world)["observedGeneration"], warned(world)) == (2, [])


async def test_an_api_server_that_is_away_is_asked_again(world):
    put(world, "object.spec.none")
    world.api.reactors.append(
        lambda request: ServiceUnavailable("not now") if request.method == "PATCH" else None
    )
    async with world.running(ValidatingAdmissionPolicyStatusController):
        assert status(world) is None
        world.api.reactors.clear()
        await world.advance(1000)
        assert len(warned(world)) == 1
