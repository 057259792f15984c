#!/usr/bin/env bash
# Another name of run_distribute_train.sh, from the model zoo's README.
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_distribute_train.sh" "$@"
