from tiphys.apimachinery.schema.build import INT_OR_STRING, QUANTITY, SchemaBuilder, build_custom
from tiphys.apimachinery.schema.node import MISSING

DEFINITIONS = {
    "a.Root": {
        "type": ["object", "null"],
        "required": ["items"],
        "properties": {
            "self": {"$ref": "#/$defs/a.Root", "description": "again"},
            "retained": {"$ref": "#/$defs/a.Root", "x-kubernetes-patch-strategy": "retainKeys"},
            "wrapped": {"allOf": [{"$ref": "#/components/schemas/a.Leaf"}], "default": {}},
            "items": {
                "type": "array",
                "items": {"$ref": "#/definitions/a.Leaf"},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "x-kubernetes-patch-strategy": "merge,retainKeys",
                "x-kubernetes-patch-merge-key": "name",
            },
            "limits": {"type": "object", "additionalProperties": {"$ref": f"#/$defs/{QUANTITY}"}},
            "port": {"$ref": f"#/$defs/{INT_OR_STRING}"},
        },
    },
    "a.Leaf": {
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {"name": {"type": "string"}},
    },
    QUANTITY: {"oneOf": [{"type": "string"}, {"type": "number"}]},
    INT_OR_STRING: {"oneOf": [{"type": "string"}, {"type": "integer"}]},
}


def test_definitions_become_a_shared_graph() -> None:
    builder = SchemaBuilder(DEFINITIONS)
    root = builder.definition("a.Root")
    assert root.type == "object"
    assert root.required == ("items",)
    assert root.properties["self"] is root
    assert builder.definition("a.Root") is root
    items = root.properties["items"]
    assert (items.list_type, items.list_map_keys) == ("map", ("name",))
    assert (items.patch_strategies, items.patch_merge_key) == (("merge", "retainKeys"), "name")
    assert items.items is builder.definition("a.Leaf")
    assert items.items.map_type == "atomic"


def test_a_reference_with_extensions_is_a_complete_copy() -> None:
    root = SchemaBuilder(DEFINITIONS).definition("a.Root")
    retained = root.properties["retained"]
    assert retained is not root
    assert retained.patch_strategies == ("retainKeys",)
    assert retained.properties is root.properties
    assert (retained.name, retained.required) == ("a.Root", ("items",))
    wrapped = root.properties["wrapped"]
    assert wrapped.default == {}
    assert wrapped.map_type == "atomic"
    assert root.default is MISSING


def test_well_known_types() -> None:
    root = SchemaBuilder(DEFINITIONS).definition("a.Root")
    limits = root.properties["limits"].additional
    assert limits is not None
    assert (limits.type, limits.format) == ("string", "quantity")
    assert root.properties["port"].int_or_string


def test_custom_schemas_keep_their_constraints() -> None:
    schema = build_custom(
        {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "minimum": 1, "default": 3, "nullable": True},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "object": {"type": "object", "additionalProperties": True},
                "mode": {"type": "string", "enum": ["a", "b"]},
            },
        }
    )
    number = schema.properties["n"]
    assert (number.default, number.nullable, number.constraints) == (3, True, {"minimum": 1})
    assert schema.properties["any"].preserve_unknown
    assert schema.properties["object"].additional is not None
    assert schema.properties["mode"].enum == ("a", "b")
    assert schema.child("x") is None
