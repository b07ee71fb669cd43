"""What every request passes: request ids, API key, body limits, problem documents."""
