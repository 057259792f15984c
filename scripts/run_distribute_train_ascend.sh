#!/usr/bin/env bash
# The other name of run_distribute_train.sh in the model zoo's README.
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_distribute_train.sh" "$@"
