from tiphys.controllers.clusterroleaggregation.plan import aggregated_rules

READ = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
WRITE = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}


def role(name, labels=None, rules=(), gathers=None):
    found = {"metadata": {"name": name, "labels": labels or {}}, "rules": list(rules)}
    if gathers:
        found["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": item} for item in gathers]}
    return found


def test_a_plain_role_keeps_its_rules():
    assert aggregated_rules(role("a", rules=[READ]), []) is None


def test_rules_of_all_selected_roles_once_and_by_name():
    top = role("top", {"to": "view"}, [WRITE], gathers=[{"to": "view"}, {"to": "edit"}])
    others = [
        role("z", {"to": "view"}, [READ]),
        role("b", {"to": "edit"}, [WRITE, READ]),
        role("c", {"to": "none"}, [{"verbs": ["*"]}]),
    ]
    assert aggregated_rules(top, [top, *others]) == [READ, WRITE]


def test_nothing_selected_is_no_rules():
    assert aggregated_rules(role("top", gathers=[{"to": "view"}]), []) == []
