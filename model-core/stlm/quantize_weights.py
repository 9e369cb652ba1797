"""Weight formats of the exported graphs. `precision` names the mix a file uses.

int4   trunk matrices and tables: 4 bits, one scale per 32 inputs (MatMulNBits, GatherBlockQuantized);
       local blocks, lift, drop and head: 8 bits, one scale per 32 inputs. Best for one stream.
uint8  matrices: 8 bits with zero point 128 and one scale per output (DynamicQuantizeMatMul; signed int8 saturates on
       AVX2); tables: 8 bits, one scale per column. Best for batches and the only fast form in WebAssembly.
fp32   the reference.
"""

from __future__ import annotations

import numpy as np

from stlm.config import BLOCK, Precision
from stlm.graph import GraphBuilder


def round_blocks(weight: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric rounding of each run of 32 inputs, the extreme entry at the lowest level (as `rounding.round_blocks`).

    weight: float32 [outputs, inputs]. Returns codes uint8 [outputs, blocks, 32] offset by 2^(bits-1), and scales
    float32 [outputs, blocks].
    """
    low = 2 ** (bits - 1)
    blocks = weight.reshape(weight.shape[0], -1, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    scale = (extreme / -low).astype(np.float32)
    scale[scale == 0] = 1
    codes = np.clip(np.rint(blocks / scale), -low, low - 1) + low
    return codes.astype(np.uint8), scale[:, :, 0]


def pack_nibbles(codes: np.ndarray) -> np.ndarray:
    """uint8 [..., 2n] of 4-bit codes -> uint8 [..., n], the first of a pair in the low half."""
    return (codes[..., 0::2] | (codes[..., 1::2] << 4)).astype(np.uint8)


class Weights:
    """Adds matrices and tables to a graph in one precision."""

    def __init__(self, graph: GraphBuilder, precision: Precision) -> None:
        self.graph = graph
        self.precision = precision
        self.stored: dict[str, tuple[str, ...]] = {}

    def matrix(self, builder: GraphBuilder, x: str, weight: np.ndarray, name: str, *, local: bool) -> str:
        """x [..., inputs] @ weight.T, weight float32 [outputs, inputs]. `local` keeps 8 bits where the trunk has 4."""
        outputs, inputs = weight.shape
        if self.precision == "fp32":
            return builder.op("MatMul", x, self.store(name, weight.T)[0])
        if self.precision == "uint8":
            scale = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127
            codes = (np.rint(weight / scale[:, None]) + 128).astype(np.uint8)
            stored = self.store(name, codes.T, scale.astype(np.float32), np.full(outputs, 128, np.uint8))
            return builder.op("DynamicQuantizeMatMul", x, *stored)
        bits = 8 if local else 4
        codes, scale = round_blocks(weight, bits)
        stored = self.store(name, pack_nibbles(codes) if bits == 4 else codes, scale)
        return builder.op("MatMulNBits", x, *stored, K=inputs, N=outputs, bits=bits, block_size=BLOCK, accuracy_level=4)

    def rows(self, builder: GraphBuilder, index: str, table: np.ndarray, name: str) -> str:
        """table[index]: index int64 [...] of a float32 [rows, width] table -> [..., width]."""
        if self.precision == "fp32":
            return builder.op("Gather", self.store(name, table)[0], index)
        if self.precision == "uint8":
            codes, scale, zero = self.store_columns(table, name)
            return builder.op("DequantizeLinear", builder.op("Gather", codes, index), scale, zero, axis=-1)
        stored = self.store_nibbles(table, name)
        attributes = {"gather_axis": 0, "quantize_axis": 1, "block_size": BLOCK, "bits": 4}
        return builder.op("GatherBlockQuantized", stored[0], index, stored[1], **attributes)

    def table(self, table: np.ndarray, name: str) -> str:
        """A whole table as floats [rows, width], for rows that are looked up too often to be dequantised each time. It is made of
        constants alone, by nodes that onnxruntime runs once, when it loads the file."""
        g = self.graph
        if self.precision == "fp32":
            return self.store(name, table)[0]
        if self.precision == "uint8":
            codes, scale, _ = self.store_columns(table, name)
            # Not by DequantizeLinear, which is not run at loading.
            return g.op("Mul", g.op("Sub", g.op("Cast", codes, to=1), g.scalar(128, np.float32)), scale)
        codes, scale = self.store_nibbles(table, name)
        low, high = g.op("BitwiseAnd", codes, g.scalar(15, np.uint8)), g.op("BitShift", codes, g.scalar(4, np.uint8), direction="RIGHT")
        pairs = g.op("Concat", g.op("Unsqueeze", low, g.integers(-1)), g.op("Unsqueeze", high, g.integers(-1)), axis=-1)
        blocks = g.op("Reshape", pairs, g.integers(len(table), -1, BLOCK))
        signed = g.op("Sub", g.op("Cast", blocks, to=1), g.scalar(8, np.float32))
        return g.op("Reshape", g.op("Mul", signed, g.op("Unsqueeze", scale, g.integers(-1))), g.integers(len(table), -1))

    def store_columns(self, table: np.ndarray, name: str) -> tuple[str, ...]:
        """Codes uint8 [rows, width], scales and zero points [width]."""
        if name not in self.stored:
            scale = (np.maximum(np.abs(table).max(axis=0), 1e-12) / 127).astype(np.float32)
            codes = (np.rint(table / scale) + 128).astype(np.uint8)
            self.store(name, codes, scale, np.full(table.shape[1], 128, np.uint8))
        return self.stored[name]

    def store_nibbles(self, table: np.ndarray, name: str) -> tuple[str, ...]:
        """Codes uint8 [rows, width / 2], scales [rows, width / 32]."""
        if name not in self.stored:
            codes, scale = round_blocks(table, 4)
            # Packed as uint8: onnxruntime cannot read an INT4 tensor back from its own `.ort` format.
            packed = pack_nibbles(codes.reshape(table.shape))
            self.stored[name] = (self.graph.constant(packed, name), self.graph.constant(scale, f"{name}_scale"))
        return self.stored[name]

    def store(self, name: str, *arrays: np.ndarray) -> tuple[str, ...]:
        if name not in self.stored:
            self.stored[name] = tuple(self.graph.constant(array, name) for array in arrays)
        return self.stored[name]
