"""A graph of tensor operations between MINDIR and ONNX: shapes, constant folding, simplification, writing."""
