"""The reading room: a page on which radiologists look at results."""
