"""STLM: super-tiny byte-level language models, from raw text to a served ONNX artifact."""
