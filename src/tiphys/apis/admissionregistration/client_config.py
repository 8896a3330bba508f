"""Rules of how a webhook is reached: a URL, or a service with a path and a port.

Source: admissionregistration.k8s.io/v1 WebhookClientConfig.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from tiphys.apimachinery import names
from tiphys.apimachinery.cel.library.urls import parse_request_uri
from tiphys.apimachinery.errors import FieldError
from tiphys.apimachinery.field_errors import invalid, required
from tiphys.apimachinery.meta import Object

_FORM = "; desired format: https://host[/path]"
_HTTPS = 443
_RELATIVE = ("empty url", "invalid URI for request")


def client_config_faults(client: Object, path: str) -> list[FieldError]:
    """Return every fault of a webhook's ``clientConfig``."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        return [required(path, "exactly one of url or service is required")]
    return _url(str(url), f"{path}.url") if service is None else _service(service, f"{path}.service")


def _url(url: str, path: str) -> list[FieldError]:
    if (why := _unreadable(url)) is not None:
        return [required(path, f"url must be a valid URL: {why}{_FORM}")]
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    faults: list[FieldError] = []
    if parts.scheme != "https":
        faults.append(invalid(path, parts.scheme, f"'https' is the only allowed URL scheme{_FORM}"))
    if not host:
        faults.append(invalid(path, "", f"host must be specified{_FORM}"))
    if at:
        faults.append(invalid(path, user, "user information is not permitted in the URL"))
    if parts.fragment:
        faults.append(invalid(path, parts.fragment, "fragments are not permitted in the URL"))
    if parts.query:
        faults.append(invalid(path, parts.query, "query parameters are not permitted in the URL"))
    return faults


def _unreadable(url: str) -> str | None:
    """Return why a URL cannot be read at all; one that leads nowhere can."""
    try:
        parse_request_uri(url)
        urlsplit(url)
    except ValueError as error:
        if not str(error).endswith(_RELATIVE):
            return str(error)
    return None


def _service(service: Object, path: str) -> list[FieldError]:
    # The API mistakes the one for the other.
    told = {"namespace": "name", "name": "namespace"}
    faults = [required(f"{path}.{at}") for key, at in told.items() if not service.get(key)]
    port = service.get("port", _HTTPS)
    if texts := names.is_port_number(port or 0):
        faults.append(invalid(f"{path}.port", port, f"port is not valid: {', '.join(texts)}"))
    return faults + _path(service.get("path") or "/", f"{path}.path")


def _path(url_path: str, path: str) -> list[FieldError]:
    if url_path == "/":
        return []
    faults = [] if url_path.startswith("/") else [invalid(path, url_path, "must start with a '/'")]
    for index, step in enumerate(url_path[1:].removesuffix("/").split("/")):
        if not step:
            faults.append(invalid(path, url_path, f"segment[{index}] may not be empty"))
            continue
        texts = names.is_dns1123_subdomain(step)
        faults += [invalid(path, url_path, f"segment[{index}]: {text}") for text in texts]
    return faults
