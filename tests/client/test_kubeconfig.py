"""Kubeconfig files with embedded data, relative files, and their faults."""

import base64

import pytest
import yaml

from tiphys.client.kubeconfig import ConfigError, in_cluster, load


def write(tmp_path, cluster=None, user=None, **extra):
    path = tmp_path / "config"
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "k", "cluster": {"server": "http://127.0.0.1:1", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        **extra,
    }
    path.write_text(yaml.safe_dump(config))
    return path


def test_embedded_and_relative_material(tmp_path):
    (tmp_path / "client.key").write_bytes(b"KEY")
    user = {"client-certificate-data": base64.b64encode(b"CERT").decode(), "client-key": "client.key"}
    config = load(write(tmp_path, user=user))
    assert (config.cert_pem, config.key_pem, config.namespace) == (b"CERT", b"KEY", "team")


def test_tokens(tmp_path):
    config = load(write(tmp_path, user={"token": "abc", "tokenFile": "tok"}))
    assert config.credentials.token == "abc"
    assert config.credentials.token_file == str(tmp_path / "tok")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"current-context": "other"}, "context 'other' is not defined"),
        ({"clusters": []}, "cluster 'k' is not defined"),
        ({"users": [{"name": "u", "user": {"exec": {"command": "x"}}}]}, "not supported"),
        ({"users": [{"name": "u", "user": {"client-key-data": "%"}}]}, "not base64"),
    ],
)
def test_faults_are_named(tmp_path, change, text):
    with pytest.raises(ConfigError, match=text):
        load(write(tmp_path, **change))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_unusable_pem_is_a_config_error(tmp_path):
    bad = {"server": "https://127.0.0.1:1", "certificate-authority-data": base64.b64encode(b"junk").decode()}
    with pytest.raises(ConfigError, match="TLS"):
        load(write(tmp_path, cluster=bad)).transport()


def test_in_cluster(tmp_path, monkeypatch):
    (tmp_path / "ca.crt").write_bytes(b"CA")
    (tmp_path / "namespace").write_text("team")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    config = in_cluster(tmp_path)
    assert (config.server, config.ca_pem, config.namespace) == ("https://[fd00::1]:6443", b"CA", "team")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(ConfigError):
        in_cluster(tmp_path)
