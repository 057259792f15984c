"""A graph of tensor operations between MINDIR and ONNX: shapes, folding of constants, simplification, writing."""
