"""What every request passes: limits, keys, request ids, problem documents."""
