"""Operations of the OpenAPI documents that concern no kind: discovery, the version, token keys.

Owns: which such paths there are, and in which document of v3 each stands. ``v2`` and ``v3``
word them. Custom groups have none: clients find those by discovery alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from tiphys.apimachinery.dataclass import dataclass
from tiphys.apis.openapi.operations import META, OBJECT_TYPES, Parameter, group_tag, version_tag
from tiphys.apis.table import ResourceTable

JSON = ("application/json",)


@dataclass(frozen=True, slots=True)
class Page:
    """A path that is read as it is. ``document`` is its place in v3; an empty answer is plain text.

    One that produces nothing has only refusals described. ``below`` stands in the same document.
    """

    path: str
    document: str
    id: str
    tag: str
    description: str
    answer: str = ""
    consumes: tuple[str, ...] = OBJECT_TYPES
    produces: tuple[str, ...] = OBJECT_TYPES
    parameter: Parameter | None = None
    below: Page | None = None

    @property
    def all(self) -> tuple[Page, ...]:
        return (self,) if self.below is None else (self, self.below)


_OPENID = (
    Page(
        "/.well-known/openid-configuration/", ".well-known/openid-configuration",
        "getServiceAccountIssuerOpenIDConfiguration", "WellKnown",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        consumes=(), produces=JSON,
    ),
    Page(
        "/openid/v1/jwks/", "openid/v1/jwks", "getServiceAccountIssuerOpenIDKeyset", "openid",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        consumes=(), produces=("application/jwk-set+json",),
    ),
)  # fmt: skip
_VERSION = Page(
    "/version/", "version", "getCodeVersion", "version", "get the version information for this server",
    "io.k8s.apimachinery.pkg.version.Info", JSON, JSON,
)  # fmt: skip
_LOGS = Page(
    "/logs/", "logs", "logFileListHandler", "logs", "", "", (), (),
    below=Page(
        "/logs/{logpath}", "logs", "logFileHandler", "logs", "", "", (), (),
        Parameter("logpath", "string", "path to the log", "path"),
    ),
)  # fmt: skip
_ROOT = "get available API versions"


def server_pages(*, logs: bool = True) -> tuple[Page, ...]:
    """Return what a whole server has beside its groups."""
    return (
        *_OPENID,
        Page("/api/", "api", "getCoreAPIVersions", "core", _ROOT, f"{META}APIVersions"),
        Page("/apis/", "apis", "getAPIVersions", "apis", _ROOT, f"{META}APIGroupList"),
        *((_LOGS,) if logs else ()),
        _VERSION,
    )


def group_pages(table: ResourceTable, group: str) -> Iterator[Page]:
    """Yield what tells of a group and of its versions, if it is built in."""
    versions = table.versions(group)
    if any(row.custom for version in versions for row in table.resources(group, version)):
        return
    tag, root = group_tag(group), f"apis/{group}" if group else "api"
    name = tag[:1].upper() + tag[1:]
    if group:
        yield Page(
            f"/{root}/", root, f"get{name}APIGroup", tag, "get information of a group", f"{META}APIGroup"
        )
    for version in versions:
        yield Page(
            f"/{root}/{version}/", f"{root}/{version}",
            f"get{name}{version[:1].upper()}{version[1:]}APIResources", version_tag(group, version),
            "get available resources", f"{META}APIResourceList",
        )  # fmt: skip
