"""A studio for tests: an application around a workspace with toys in it."""

from __future__ import annotations

import contextlib
import shutil

from starlette.testclient import TestClient

from organza.cli.web.forms import forms
from organza.web.guard import Gate
from organza.web.studio.app import make_studio
from organza.web.studio.settings import Room
from organza.web.studio.workspace import Workspace
from tests.web.conftest import png


def fill(root, tiny_run, faces):
    """A workspace with a run, a dataset, an image, and what no request may touch beside it."""
    workspace = Workspace.at(root / "workspace")
    shutil.copytree(tiny_run, workspace.runs / tiny_run.name)
    shutil.copy(faces, workspace.root / "faces.zip")
    (workspace.root / "photos").mkdir()
    for number in range(3):
        (workspace.root / "photos" / f"{number}.png").write_bytes(png(seed=number))
    (root / "secret.png").write_bytes(png(seed=99))
    (root / "secret").mkdir()
    (root / "secret" / "x.png").write_bytes(png(seed=98))
    return workspace


@contextlib.contextmanager
def studio(workspace, room=Room(), gate=Gate(), **more):
    """A client of a studio that runs."""
    app = make_studio(workspace, forms(), room, gate, "cpu")
    with TestClient(app, base_url="http://localhost", **more) as client:
        yield client
