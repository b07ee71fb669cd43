"""Programs that maintainers run; nothing imports them but tests."""
