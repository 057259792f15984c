"""Speaker verification over HTTP: the service that `mindvox serve` runs."""
