"""Writes fused/: the graphs of families/sd as onnxruntime's optimizer makes them for CUDA, and what they gave before it.
Weights are signs times a power of two, so that the files pack well.

    python3 -m venv v && v/bin/pip install onnx==1.23.2 onnxruntime==1.30.0 'numpy<2.3' coloredlogs sympy
    OMP_NUM_THREADS=1 v/bin/python test/reference/fused.py
"""

import base64
import gzip
import json
import logging
import pathlib
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.transformers.fusion_options import FusionOptions
from onnxruntime.transformers.optimizer import optimize_model

here = pathlib.Path(__file__).parent
target = here / "fused"
target.mkdir(exist_ok=True)
logging.disable(logging.WARNING)
# Graph -> the optimizer's kind of it, and the shapes of its inputs.
graphs = {
    "unet": ("unet", {"sample": [2, 4, 8, 12], "timestep": [], "encoder_hidden_states": [2, 5, 16]}),
    "vae_encoder": ("vae", {"sample": [2, 3, 16, 24]}),
    "vae_decoder": ("vae", {"latent_sample": [2, 4, 8, 12]}),
}


def signs(tensor: onnx.TensorProto) -> None:
    """Matrices and filters become signs; what is 1 or 0 for every channel, as in a new norm, gets two values."""
    values = numpy_helper.to_array(tensor)
    if values.dtype != np.float32 or values.size < 4:
        return
    even = np.where(np.arange(values.size).reshape(values.shape) * 7 % 5 < 2, -0.25, 0.25)
    if np.ptp(values) == 0:
        new = values + even
    else:
        new = np.sign(values) * 2.0 ** np.round(np.log2(np.abs(values).mean()))
    tensor.CopyFrom(numpy_helper.from_array(new.astype(np.float32), tensor.name))


def inputs(shapes: dict) -> dict:
    def values(name, shape):
        count = int(np.prod(shape))
        return np.full(shape, 500, np.float32) if name == "timestep" else np.sin(np.arange(count) * 1.7 + len(name)).reshape(shape).astype(np.float32)

    return {name: values(name, shape) for name, shape in shapes.items()}


expected = {"onnxruntime": onnxruntime.__version__, "graphs": {}}
for part, (kind, shapes) in graphs.items():
    model = onnx.load(here / "families" / "sd" / part / "model.onnx")
    for tensor in model.graph.initializer:
        signs(tensor)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output = session.run(None, inputs(shapes))[0]
    expected["graphs"][part] = {"inputs": shapes, "output": base64.b64encode(output.astype(np.float32).tobytes()).decode()}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/model.onnx"
        onnx.save(model, path)
        fused = optimize_model(path, model_type=kind, opt_level=0, optimization_options=FusionOptions(kind), use_gpu=True)
        variants = {part: fused.model}
        if part == "unet":
            half = optimize_model(path, model_type=kind, opt_level=0, optimization_options=FusionOptions(kind), use_gpu=True)
            half.convert_float_to_float16(keep_io_types=False)
            variants["unet-half"] = half.model
        for name, made in variants.items():
            for node in made.graph.node:
                node.doc_string = ""
            operators = sorted({node.op_type for node in made.graph.node if node.domain == "com.microsoft"})
            (target / f"{name}.onnx.gz").write_bytes(gzip.compress(made.SerializeToString(), 9, mtime=0))
            print(name, (target / f"{name}.onnx.gz").stat().st_size, operators, [(o.domain, o.version) for o in made.opset_import])
(target / "expected.json.gz").write_bytes(gzip.compress(json.dumps(expected).encode(), 9, mtime=0))
