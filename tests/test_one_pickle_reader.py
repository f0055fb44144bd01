"""Pickles of somebody else's are read by `organza.tensors.pickle` and by nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / "src" / "organza"
MODULES = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
ALLOWED = {
    ("data/cache/parallel.py", "pickle"): "talks to its own children, over pipes that nobody else can write to",
    **{
        (file, "torch.jit.load"): "a program that the user names as such; it can't call Python"
        for file in ("studio/attributes.py", "vision/perceptual.py", "vision/features/files.py")
    },
    ("weights/export/parity.py", "torch.jit.load"): "bytes that the line before has written, to compare them",
    ("training/checkpoint.py", "torch.load"): "weights_only, of a checkpoint's resume.pt",
}


def uses(path: Path) -> set[str]:
    """Ways to run what a file says that ``path`` uses: modules, and calls that unpickle."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in MODULES:
            found.add(node.module)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("torch.load", "torch.jit.load", "pandas.read_pickle", "np.core.multiarray._reconstruct"):
                found.add(name)
            if any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords):
                found.add("allow_pickle")
    return found


def test_nothing_else_unpickles() -> None:
    found = {(path.relative_to(ROOT).as_posix(), use) for path in ROOT.rglob("*.py") for use in uses(path)}
    assert found <= ALLOWED.keys(), found - ALLOWED.keys()


def test_it_is_looked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    lines = ["import pickle", "from marshal import loads", "torch.load(x)", "np.load(x, allow_pickle=True)"]
    file.write_text("\n".join(lines))
    assert uses(file) == {"pickle", "marshal", "torch.load", "allow_pickle"}
    file.write_text(
        "import pickletools\nfrom organza.tensors.pickle.machine import unpickle\nnp.load(x, allow_pickle=False)"
    )
    assert uses(file) == set()
