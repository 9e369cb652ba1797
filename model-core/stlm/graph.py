"""A thin layer over `onnx.helper`: nodes are added by calls, so that `export.py` reads like the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

OPSET = 21
MICROSOFT = "com.microsoft"
Shape = list[int | str]

MICROSOFT_OPS = frozenset(
    {
        "DynamicQuantizeMatMul",
        "GatherBlockQuantized",
        "GroupQueryAttention",
        "MatMulNBits",
        "RotaryEmbedding",
        "SkipSimplifiedLayerNormalization",
    }
)


class GraphBuilder:
    """Collects nodes and constants of one graph. A `child` builder makes a loop or branch body, which sees outer names."""

    def __init__(self, parent: GraphBuilder | None = None) -> None:
        self.nodes: list[NodeProto] = []
        self.root = parent.root if parent else self
        self.constants: dict[str, TensorProto] = {}
        self.count = 0

    def child(self) -> GraphBuilder:
        return GraphBuilder(self)

    def name(self, hint: str) -> str:
        self.root.count += 1
        return f"{hint}_{self.root.count}"

    def constant(self, array: np.ndarray, hint: str = "c") -> str:
        """An initializer of the outermost graph, stored once for equal small content."""
        tensor = numpy_helper.from_array(np.array(array, order="C"))
        key = tensor.SerializeToString() if len(tensor.raw_data) <= 4096 else b""
        for name, known in self.root.constants.items():
            if key and len(known.raw_data) == len(tensor.raw_data):
                copy = TensorProto.FromString(known.SerializeToString())
                copy.ClearField("name")
                if copy.SerializeToString() == key:
                    return name
        tensor.name = self.name(hint)
        self.root.constants[tensor.name] = tensor
        return tensor.name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Adds a node; returns its output's name, or a list of names if it has several."""
        names = [self.name(kind.lower()) for _ in range(outputs)]
        self.add(kind, list(inputs), names, **attributes)
        return names[0] if outputs == 1 else names

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        """Adds a node with output names chosen by the caller; '' leaves an optional input or output out."""
        domain = MICROSOFT if kind in MICROSOFT_OPS else ""
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=self.name("n"), domain=domain, **attributes))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def scalar(self, value: float | int, dtype: type[np.generic]) -> str:
        return self.constant(np.array(value, dtype=dtype))

    def body(self, name: str, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> GraphProto:
        return helper.make_graph(self.nodes, name, inputs, outputs)

    def model(self, name: str, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="stlm")


def value(name: str, kind: type[np.generic], shape: Shape) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)
