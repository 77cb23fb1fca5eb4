"""Training, data sets and studies; nothing else imports them."""
