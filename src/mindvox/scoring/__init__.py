"""Embeddings, cosine scores, score normalisation and error rates: one definition each."""
