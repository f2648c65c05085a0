"""`reidapp doctor`: every check on this environment, and the broken environments it is there for."""

import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from reidapp import doctor


@pytest.fixture
def installed(monkeypatch):
    """``installed({...})`` makes the doctor see these distributions, ``driver=True`` also an NVIDIA driver."""

    def fake(versions, driver=False):
        monkeypatch.setattr(doctor, "distributions", lambda: versions)
        monkeypatch.setattr(doctor, "nvidia_driver", lambda: driver)

    return fake


@pytest.mark.slow
def test_this_environment_is_sound():
    checks = doctor.diagnose()
    assert [c.name for c in checks if c.status == "fail"] == []
    looked_at = {"Python", "ONNX Runtime", "Faiss", "OpenCV", "PyAV", "SQLite", "detectors", "disk"}
    assert {c.name for c in checks} >= looked_at
    provider = next(c.detail for c in checks if c.name == "ONNX Runtime")
    assert provider.endswith("ExecutionProvider")


@pytest.mark.slow
def test_no_torch_is_loaded():
    code = "import sys; from reidapp.doctor import diagnose; diagnose(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_tiny_model_is_what_its_comment_says():
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert onnx.load_model_from_string(doctor.TINY_MODEL) == model


@pytest.mark.parametrize(
    ("check", "versions", "driver", "line"),
    [
        (
            doctor.check_onnxruntime,
            {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"},
            False,
            '-m pip uninstall -y onnxruntime onnxruntime-gpu && {python} -m pip install "onnxruntime"',
        ),
        (
            doctor.check_onnxruntime,
            {"onnxruntime": "1.31.1", "onnxruntime-gpu": "1.31.1"},
            True,
            '-m pip uninstall -y onnxruntime onnxruntime-gpu && {python} -m pip install "onnxruntime-gpu[cuda,cudnn]"',
        ),
        (
            doctor.check_faiss,
            {"faiss-cpu": "1.15.1", "faiss-gpu": "1.15.1"},
            False,
            '-m pip uninstall -y faiss-cpu faiss-gpu && {python} -m pip install "faiss-cpu"',
        ),
        (
            doctor.check_opencv,
            {"opencv-python": "4.14.0", "opencv-python-headless": "5.0.0"},
            False,
            "-m pip uninstall -y opencv-python opencv-python-headless && "
            '{python} -m pip install "opencv-python>=4.12,<5"',
        ),
        (doctor.check_onnxruntime, {}, False, '-m pip install "onnxruntime"'),
        (doctor.check_faiss, {}, True, '-m pip install "faiss-gpu"'),
    ],
)
def test_variants_that_overwrite_each_other(installed, check, versions, driver, line):
    installed(versions, driver)
    found = check()
    assert found.status == "fail"
    assert found.remedy == f"{sys.executable} " + line.format(python=sys.executable)
    assert all(name in found.detail for name in versions)


def test_a_driver_without_the_gpu_build_is_a_warning(installed):
    installed({"onnxruntime": "1.31.1"}, driver=True)
    found = doctor.check_onnxruntime()
    assert found.status == "warn"
    assert "onnxruntime-gpu" in found.remedy


def test_milvus_lite_beside_faiss_gpu_is_a_warning(installed):
    installed({"faiss-gpu": "1.15.1", "milvus-lite": "3.0"})
    found = doctor.check_faiss()
    assert found.status == "warn"
    assert "milvus-lite needs faiss-cpu" in found.detail


@pytest.mark.parametrize(
    ("torch", "wanted", "status"),
    [
        ("2.15.0", ["torch==2.15.0"], "ok"),
        ("2.15.0+cpu", ["torch (==2.15.0)", "numpy"], "ok"),
        ("2.13.0", ["torch (>=2.14.0)"], "fail"),
        ("2.13.0", ['torch>=2.14; extra == "x"'], "ok"),
    ],
)
def test_torch_and_torchvision_must_fit(installed, monkeypatch, torch, wanted, status):
    installed({"torch": torch, "torchvision": "0.29.2"})
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wanted)
    assert doctor.check_torch().status == status


def test_half_of_the_pair_is_a_warning_and_none_is_fine(installed):
    installed({"torch": "2.15.0"})
    assert doctor.check_torch().status == "warn"
    installed({})
    assert doctor.check_torch().status == "ok"


@pytest.mark.slow
def test_a_check_that_raises_does_not_stop_the_others(monkeypatch):
    def broken():
        raise ImportError("libGL.so.1: cannot open shared object file")

    monkeypatch.setattr(doctor, "check_opencv", broken)
    checks = {c.name: c for c in doctor.diagnose()}
    assert checks["OpenCV"].status == "fail"
    assert "libGL.so.1" in checks["OpenCV"].detail
    assert "libgl1" in checks["OpenCV"].remedy
    assert checks["disk"].status != "fail"


@pytest.mark.parametrize(("free", "status"), [(0.1e9, "fail"), (2e9, "warn"), (50e9, "ok")])
def test_free_disk(monkeypatch, tmp_path, free, status):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(100e9, 0, free))
    assert doctor.check_disk(tmp_path).status == status


def test_distributions_are_listed_under_normalised_names():
    names = doctor.distributions()
    assert "opencv-python" in names
    assert all(name == name.lower() and "_" not in name for name in names)


@pytest.mark.gpu
def test_a_gpu_is_really_used():
    assert "CUDAExecutionProvider" in doctor.check_onnxruntime().detail
