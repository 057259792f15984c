"""Scoring: embeddings, cosine scores, score normalisation and error rates, each defined once."""
