"""Image names, credentials, pull policy, back-off."""

import asyncio
import base64

import orjson
import pytest
from fake_cri import FakeRuntime
from pods import container, pod

from tiphys.apimachinery.clock import FakeClock
from tiphys.kubelet.images.manager import ImageProblem, Images, find_auth, normalize, pull_policy


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1", "docker.io/library/busybox:1"),
        ("me/app", "docker.io/me/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("reg.test:5000/a/b:v1", "reg.test:5000/a/b:v1"),
        ("a.test/b@sha256:" + "0" * 64, "a.test/b@sha256:" + "0" * 64),
        ("Registry/a", "Registry/a:latest"),
        ("index.docker.io/a", "docker.io/library/a:latest"),
    ],
)
def test_normalize(name, expected):
    assert normalize(name) == expected


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a:b:c", "/a", "a/"])
def test_no_image_name(name):
    with pytest.raises(ImageProblem) as caught:
        normalize(name)
    assert caught.value.reason == "InvalidImageName"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("a b", "invalid reference format"),
        ("a.test/Web:1", "invalid reference format: repository name (Web) must be lowercase"),
        ("Web", "invalid reference format: repository name (library/Web) must be lowercase"),
        ("ab" * 32, f"invalid repository name ({'ab' * 32}), cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_why_it_is_no_image_name(name, why):
    with pytest.raises(ImageProblem) as caught:
        normalize(name)
    told = f'Failed to apply default image tag "{name}": couldn\'t parse image name "{name}": {why}'
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"image": "a"}, "Always"),
        ({"image": "a:latest"}, "Always"),
        ({"image": "a:1"}, "IfNotPresent"),
        ({"image": "h:5000/a"}, "Always"),
        ({"image": "a@sha256:00"}, "IfNotPresent"),
        ({"image": "a", "imagePullPolicy": "Never"}, "Never"),
    ],
)
def test_policy(spec, expected):
    assert pull_policy(spec) == expected


def secret(**servers):
    auths = {
        server.replace("__", "/"): {"auth": base64.b64encode(f"{user}:pw".encode()).decode()}
        for server, user in servers.items()
    }
    return {".dockerconfigjson": orjson.dumps({"auths": auths})}


@pytest.mark.parametrize(
    ("server", "image", "found"),
    [
        ("reg.test", "reg.test/a:1", True),
        ("https://reg.test/v2/", "reg.test/a:1", True),
        ("reg.test", "other.test/a:1", False),
        ("reg.test/team", "reg.test/team/a:1", True),
        ("reg.test/team", "reg.test/teamwork/a:1", False),
        ("*.test", "reg.test/a:1", True),
        ("https://index.docker.io/v1/", "busybox", True),
    ],
)
def test_auth(server, image, found):
    auths = find_auth(image, [{".dockerconfigjson": orjson.dumps({"auths": {server: {"username": "u"}}})}])
    assert [item["username"] for item in auths] == (["u"] if found else [])


def test_most_specific_credentials_first():
    auths = find_auth("reg.test/team/a:1", [secret(**{"reg.test": "wide", "reg.test__team": "narrow"})])
    assert [(item["username"], item["password"]) for item in auths] == [("narrow", "pw"), ("wide", "pw")]
    assert find_auth("reg.test/a:1", [{".dockerconfigjson": b"broken"}, {}]) == []


class Events:
    def __init__(self):
        self.seen = []

    def record(self, obj, type="Normal", reason="", message="", *, field_path=""):
        self.seen.append((reason, message))


@pytest.fixture
def made():
    clock, runtime, events = FakeClock(), FakeRuntime(), Events()
    return Images(runtime, events, clock), runtime, events, clock


async def test_present(made):
    images, runtime, events, _ = made
    runtime.add_image("docker.io/library/img:1")
    await images.ensure(pod(), container(image="img:1"), [], {})
    text = 'Container image "img:1" already present on machine and can be accessed by the pod'
    assert events.seen == [("Pulled", text)]


async def test_pull(made):
    images, runtime, events, _ = made
    runtime.pullable.add("docker.io/library/img:1")
    await images.ensure(pod(), container(image="img:1"), [], {})
    assert [reason for reason, _ in events.seen] == ["Pulling", "Pulled"]
    assert events.seen[1][1].startswith(
        'Successfully pulled image "img:1" in 0ms (0ms including waiting). Image size: '
    )


async def test_of_images_that_were_pulled_no_locks_stay(made):
    images, runtime, _, _ = made
    most = []

    async def pull(full, *_args):
        most.append(len(images._locks))
        await asyncio.sleep(0)
        runtime.add_image(full)

    runtime.pull_image = pull
    names = ("one:1", "two:1", "one:1")
    await asyncio.gather(*(images.ensure(pod(), container(image=name), [], {}) for name in names))
    assert max(most) == 2
    assert len(images._locks) == 0


async def test_failure_backs_off_and_recovers(made):
    images, runtime, events, clock = made

    async def ensure():
        await images.ensure(pod(), container(image="img:1"), [], {})

    with pytest.raises(ImageProblem) as caught:
        await ensure()
    assert caught.value.reason == "ErrImagePull"
    with pytest.raises(ImageProblem) as caught:
        await ensure()
    assert caught.value.reason == "ImagePullBackOff"
    assert str(caught.value).startswith('Back-off pulling image "img:1": ErrImagePull: ')
    assert ("BackOff", 'Back-off pulling image "img:1"') in events.seen
    clock.advance(10)
    runtime.pullable.add("docker.io/library/img:1")
    await ensure()


async def test_never(made):
    images, _, _, _ = made
    with pytest.raises(ImageProblem) as caught:
        await images.ensure(pod(), container(image="img:1", imagePullPolicy="Never"), [], {})
    assert caught.value.reason == "ErrImageNeverPull"
    assert str(caught.value) == 'Container image "img:1" is not present with pull policy of Never'
