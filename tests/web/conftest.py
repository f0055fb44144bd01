"""Toys behind an application."""

from __future__ import annotations

import contextlib
import io
import signal
import threading
import time

import numpy as np
import pytest
import torch
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from organza.contract.data import DataSpec, LabelSet
from organza.contract.model import Latents
from organza.models.generator import Generator
from organza.models.translator import Translator
from organza.presets import preset
from organza.web.app import make_app
from organza.web.run import listen
from organza.web.served import serve

CPU = torch.device("cpu")


@pytest.fixture(scope="session", autouse=True)
def interruptible():
    """Processes in the background of a shell ignore Ctrl-C, and so would those that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def toy(name, spec):
    """The network of a preset at toy size, with random weights."""
    torch.manual_seed(0)
    method = preset(name).run.method.toy().resolve(spec, 4).build(spec)
    for net in method.nets.values():
        net.eval().requires_grad_(False)
    model = next(iter(method.models.values()))
    kind = Generator if isinstance(model, Latents) else Translator
    if isinstance(model, Latents) and model.styles:
        for noise in model.styles.noise(method.nets[model.net]):
            noise.strength.fill_(0.5)  # so that noise is seen
    reader = method.nets[model.text.encoder] if isinstance(model, Latents) and model.text else None
    more = {"reader": reader} if reader is not None else {}
    return kind(name, spec, model, method.nets[model.net], None, CPU, torch.float32, **more)


@pytest.fixture(scope="session")
def networks():
    classes = DataSpec((16, 16), 3, 3, label_names=("cat", "dog", "owl"), label_sets=(LabelSet(3, "classes"),))
    words = ("blonde", "hair", "pink")
    starred = DataSpec((16, 16), 3, 2, source=3, label_names=("Smile", "Young"), label_sets=(LabelSet(2),))
    dice = toy("bicyclegan", DataSpec((16, 16), 3, source=3))
    for weight in dice.net.parameters():
        weight.mul_(4)  # so that its style codes are seen
    return {
        "plain": toy("stylegan2", DataSpec((16, 16), 3)),
        "classes": toy("cgan", classes),
        "words": toy("stackgan", DataSpec((16, 16), 3, words=words, text_length=3)),
        "paint": toy("cyclegan", DataSpec((16, 16), 3, source=3)),
        "dice": dice,
        "star": toy("stargan", starred),
    }


@pytest.fixture
def app(networks):
    return make_app({name: serve(name, network) for name, network in networks.items()})


@pytest.fixture
def client(app):
    with TestClient(app, base_url="http://localhost") as client:
        yield client


def pixels(content):
    """uint8 [H, W, C] of a PNG."""
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image).reshape(image.height, image.width, -1)


def png(height=20, width=24, mode="RGB", seed=0):
    """The bytes of a PNG of noise."""
    shape = [height, width, len(mode)] if len(mode) > 1 else [height, width]
    buffer = io.BytesIO()
    Image.fromarray(np.random.RandomState(seed).randint(0, 256, shape, np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@contextlib.contextmanager
def at_a_port(app):
    """The address of a real server around ``app``, in a thread."""
    at = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on", http="h11", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        yield at.getsockname()[:2]
    finally:
        server.should_exit = True
        thread.join(20)
        at.close()


def until(condition, seconds=60.0):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.005)
