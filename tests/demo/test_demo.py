"""The demo page: what the networks answer, whom the server answers, and the page in a browser."""

import base64
import http.client
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hsc.base.errors import HscError, PredictionError
from hsc.cam.network import cam_network
from hsc.data.overlay import colour_labels
from hsc.data.voc import VocFolder
from hsc.demo import server as server_module
from hsc.demo.answers import Networks, answer, load_networks
from hsc.demo.server import DemoServer
from hsc.nets.deeplab import deeplab_network
from hsc.nets.weights import save_weights
from hsc.params.recipe import InferCamParams, NetworkParams
from hsc.params.segmentation import PredictParams, SegmentationNetworkParams
from hsc.segmentation.inference import predict_labels
from hsc.segmentation.training import segmentation_spec

pytest_plugins = ["tests.browser"]
RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def networks(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder, tiny_network: NetworkParams,
    tiny_segmentation_network: SegmentationNetworkParams, cpu: Any,
) -> Networks:  # fmt: skip
    """Of random weights."""
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("networks")
    spec = segmentation_spec(tiny_folder.class_names, tiny_segmentation_network)
    save_weights(folder / "a.pt", "deeplab", spec, deeplab_network(spec).state_dict())
    names = list(tiny_folder.class_names)
    seen = {**tiny_network.backbone_spec, "class_names": names, "pcm": None, "projectors": None}
    save_weights(folder / "cam.pt", "cam", seen, cam_network(seen).state_dict())
    predict = PredictParams(scales=(1.0,), flip=True, crf=None)
    infer = InferCamParams(scales=(1.0,), flip=False, maps="raw", merge="relu")
    return load_networks(folder / "a.pt", folder / "cam.pt", predict, infer, None, cpu)


def decoded(url: str) -> np.ndarray:
    head, _, body = url.partition(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(body))) as image:
        return np.asarray(image)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


def test_the_answer_is_the_prediction(networks: Networks, tiny_folder: VocFolder, cpu: Any) -> None:
    (image_id, *_) = tiny_folder.ids("val")
    found = answer(networks, tiny_folder.image_path(image_id).read_bytes())
    image = tiny_folder.image(image_id)
    np.testing.assert_array_equal(decoded(found["picture"]), image)
    ((_, labels),) = predict_labels(
        networks.segmentation, tiny_folder, [image_id], (1.0,), True, cpu
    )
    np.testing.assert_array_equal(decoded(found["prediction"]), colour_labels(image, labels))
    there = sorted(set(np.unique(labels).tolist()) - {0})
    assert there, "random weights find something"
    assert [each["name"] for each in found["classes"]] == [
        tiny_folder.class_names[index - 1] for index in there
    ]
    for each, index in zip(found["classes"], there, strict=True):
        assert each["share"] == pytest.approx(100 * (labels == index).mean(), abs=0.051)
        assert decoded(each["cam"]).shape == image.shape


def test_a_large_picture_is_shown_small(networks: Networks) -> None:
    found = answer(networks, png(np.zeros((40, 2000, 3), dtype=np.uint8)))
    assert decoded(found["prediction"]).shape == (20, 1000, 3)


@pytest.mark.parametrize("upload", [b"", b"no picture", png(np.zeros((4, 4), np.uint8))[:40]])
def test_bytes_that_are_no_picture(networks: Networks, upload: bytes) -> None:
    with pytest.raises(HscError, match="the picture"):
        answer(networks, upload)


@contextmanager
def serving(reply: Callable[[bytes], dict[str, Any]]) -> Iterator[DemoServer]:
    with DemoServer(reply, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: DemoServer, method: str, path: str, body: bytes | None = None, **more: Any) -> Any:
    """Status and content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, body, **more)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, content


def test_the_page_and_its_answer() -> None:
    with serving(lambda upload: {"length": len(upload)}) as server:
        status, page = ask(server, "GET", "/")
        assert (status, page[:15]) == (200, b"<!DOCTYPE html>")
        status, content = ask(server, "POST", "/look", b"12345", headers=RAW)
        assert (status, json.loads(content)) == (200, {"length": 5})


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/other", {}, 404),
        ("GET", "/../params.yaml", {}, 404),
        ("POST", "/other", RAW, 404),
        ("GET", "/", {"Host": "evil.example"}, 403),
        ("POST", "/look", {**RAW, "Host": "evil.example:80"}, 403),
        ("POST", "/look", {"Content-Type": "multipart/form-data"}, 415),
        ("POST", "/look", {**RAW, "Content-Length": "-1"}, 411),
        ("POST", "/look", {**RAW, "Content-Length": "30000001"}, 413),
    ],
)
def test_what_is_refused(method: str, path: str, headers: dict[str, str], status: int) -> None:
    def never(upload: bytes) -> dict[str, Any]:
        raise AssertionError("it was answered")

    with serving(never) as server:
        found, content = ask(
            server, method, path, b"" if method == "POST" else None, headers=headers
        )
        assert found == status
        assert json.loads(content)["problem"]
        assert ask(server, "GET", "/")[0] == 200, "it goes on"


def test_a_problem_is_told_and_the_next_picture_is_seen() -> None:
    def reply(upload: bytes) -> dict[str, Any]:
        if upload == b"bad":
            raise PredictionError("the picture: damaged")
        return {}

    with serving(reply) as server:
        status, content = ask(server, "POST", "/look", b"bad", headers=RAW)
        assert (status, json.loads(content)) == (422, {"problem": "the picture: damaged"})
        assert ask(server, "POST", "/look", b"good", headers=RAW)[0] == 200


def test_nobody_else_is_let_in() -> None:
    with serving(lambda upload: {}) as server:
        assert server.socket.getsockname()[0] == "127.0.0.1"
        with pytest.raises(HscError, match=f"port {server.server_port}: .*--port"):
            DemoServer(lambda upload: {}, server.server_port)


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """`page, errors = visit(server, width)`."""
    contexts = []

    def open_it(server: DemoServer, width: int = 1280) -> tuple[Any, list[str]]:
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: None if request.url.startswith((server.url, "data:"))
                else errors.append(request.url))  # fmt: skip
        page.goto(server.url)
        return page, errors

    yield open_it
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 400])
def test_a_picture_is_chosen_in_the_browser(
    visit: Callable[..., Any], networks: Networks, tiny_folder: VocFolder, width: int
) -> None:
    path = tiny_folder.image_path(tiny_folder.ids("val")[0])
    with serving(partial(answer, networks)) as server:
        page, errors = visit(server, width)
        page.set_input_files("#file", str(path))
        page.wait_for_selector("#found:not([hidden])")
        expected = answer(networks, path.read_bytes())["classes"]
        captions = page.locator("figcaption").all_inner_texts()
        assert captions == ["picture", "prediction", *(each["name"] for each in expected)]
        assert "Found: " in page.inner_text("#said")
        shown = page.evaluate(
            "[...document.images].map(each => each.complete && each.naturalWidth)"
        )
        assert shown == [36] * len(captions)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        assert errors == []


def test_a_picture_is_dropped_and_a_text_is_refused(
    visit: Callable[..., Any], networks: Networks, tiny_folder: VocFolder
) -> None:
    content = base64.b64encode(tiny_folder.image_path(tiny_folder.ids("val")[0]).read_bytes())
    drop = """([content, name]) => {
        const bytes = Uint8Array.from(atob(content), sign => sign.charCodeAt(0));
        const carried = new DataTransfer();
        carried.items.add(new File([bytes], name));
        const where = document.getElementById("drop");
        const how = {dataTransfer: carried, bubbles: true, cancelable: true};
        where.dispatchEvent(new DragEvent("drop", how));
    }"""
    with serving(partial(answer, networks)) as server:
        page, _ = visit(server)
        page.evaluate(drop, [base64.b64encode(b"text").decode(), "a.txt"])
        page.wait_for_selector("#said.problem")
        assert "the picture" in page.inner_text("#said")
        assert page.is_hidden("#found")
        page.evaluate(drop, [content.decode(), "a.jpg"])
        page.wait_for_selector("#found:not([hidden])")
        assert not page.locator("#said.problem").count()


def test_the_page_says_when_nobody_answers(
    visit: Callable[..., Any], tiny_folder: VocFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "LARGEST", 10)
    path = str(tiny_folder.image_path(tiny_folder.ids("val")[0]))
    with serving(lambda upload: {}) as server:
        page, _ = visit(server)
        page.set_input_files("#file", path)
        page.wait_for_selector("#said.problem")
    page.set_input_files("#file", path)
    page.wait_for_function("document.getElementById('said').textContent.startsWith('No answer')")


def test_no_socket_is_left_open() -> None:
    with serving(lambda upload: {}) as server:
        port = server.server_port
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))
