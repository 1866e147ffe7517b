"""Runs that are compared with each other: studies of what a change does, and searches for the best values."""

import os

# Ray reads these when it is imported. No usage statistics; workers keep this process's niceness and view of the GPUs;
# tensors are shared without a copy, as arrays are; what a worker prints is not a log entry. Tune writes no result
# files of its own, and its state every two seconds, which is what a kill -9 can lose; Ctrl-C ends the command; no
# boxes in the terminal.
for name, value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",
    "RAY_ENABLE_ZERO_COPY_TORCH_TENSORS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "2",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}.items():
    os.environ.setdefault(name, value)
